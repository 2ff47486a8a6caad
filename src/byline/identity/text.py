"""Which characters may stand in a name that is printed, sent in a header field or put on a row."""

from __future__ import annotations

import unicodedata

# Control characters, lone surrogates (no valid UTF-8), line and paragraph separators. Format
# characters stay: names in several scripts need their joiners.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def has_control_characters(text: str) -> bool:
    return not text.isprintable() and any(map(_is_forbidden, text))


def without_control_characters(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character for character in text if not _is_forbidden(character))


def _is_forbidden(character: str) -> bool:
    return unicodedata.category(character) in _FORBIDDEN_CATEGORIES
