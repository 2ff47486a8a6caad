"""How the runtime complains without disturbing its host: a log line, each text once."""

from __future__ import annotations

import logging

_log = logging.getLogger("byline")
_MAX_TEXTS = 256
_said: set[str] = set()


def warn_once(text: str) -> None:
    """A host that configured no logging sees it on stderr."""
    if text not in _said and len(_said) < _MAX_TEXTS:
        _said.add(text)
        _log.warning("%s", text)


def note_defect(where: str, error: Exception) -> None:
    """Something of ours failed and was caught; the host's call goes on. No message: it may quote data."""
    warn_once(f"byline: {where} failed ({type(error).__name__}); the call itself is not affected")
