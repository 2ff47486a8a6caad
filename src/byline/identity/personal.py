"""Recognises values that a provider would refuse as personal data: email addresses, phone numbers.

Errs on the side of recognising too much: a value taken for personal is hashed, one that slips
through makes the provider refuse the whole request.
"""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[^\s@]@[^\s@]")
_ESCAPED_AT = "\\u0040"

# 7 to 15 digits (E.164) with the separators people write, not part of a longer word: the digit
# groups of a UUID, a date at the end of a job's name or a hash are none.
_PHONE = re.compile(r"(?<![\w.-])\+?\(?\d(?:[\s()./-]{0,2}\d){6,14}\)?(?![\w-])")


def looks_personal(text: str) -> bool:
    return looks_like_email(text) or _PHONE.search(text) is not None


def looks_like_email(text: str) -> bool:
    return _ESCAPED_AT in text or ("@" in text and _EMAIL.search(text) is not None)
