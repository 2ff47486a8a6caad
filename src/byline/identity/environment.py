"""Reads the identity that a process carries in an environment variable, and says how it is written.

Pure: the environment is an argument. Which variables there are is a registry; a build that knows
further ones has them contributed before the first read. Nothing here sends or logs anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from byline.identity.personal import looks_like_email
from byline.identity.text import has_control_characters

PUBLIC_VARIABLE: Final = "BYLINE_IDENTITY"
MAX_LENGTH_VARIABLE: Final = "BYLINE_IDENTITY__MAX_LENGTH"
DEFAULT_MAX_LENGTH: Final = 256
LONGEST_MAX_LENGTH: Final = 512
"""What Anthropic's newer documentation allows; the older said 256."""

_KEY = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{8}|byl_[A-Za-z0-9]|gh[pousr]_\w{16}|xox[abpr]-|AKIA[0-9A-Z]{12}|AIza[\w-]{20}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.|Bearer\s)"
)
_contributed: list[str] = []


@dataclass(frozen=True, slots=True)
class CarriedIdentity:
    """What a process says about itself. `text` is sent as it stands."""

    text: str
    user: str | None = None
    job: str | None = None
    """Both are None where `text` is a plain string."""


class IdentityRefused(ValueError):
    """The text names the variable and the rule, never the value."""


def contribute(variable: str) -> None:
    """Adds a variable that counts before all that are known so far."""
    if variable not in _contributed:
        _contributed.insert(0, variable)


def variables() -> tuple[str, ...]:
    """The variables that may hold an identity, the one that counts most first."""
    return (*_contributed, PUBLIC_VARIABLE)


def read_identity(environ: Mapping[str, str]) -> CarriedIdentity | None:
    """What the first variable that is set says. Raises IdentityRefused for one that can't be sent.

    A variable that is refused hides those after it: sending another identity would be a guess.
    """
    for variable in variables():
        text = environ.get(variable, "")
        if text.strip():
            return parse_identity(variable, text, max_length(environ))
    return None


def parse_identity(variable: str, text: str, longest: int = DEFAULT_MAX_LENGTH) -> CarriedIdentity:
    """`{"user": ..., "job": ...}`, further members allowed, or a plain string."""
    check_sendable(variable, text, longest)
    try:
        document: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return CarriedIdentity(text)
    match document:
        case {"user": str(user), "job": str(job)}:
            check_sendable(variable, f"{user} {job}", longest)  # what escapes in the document hid
            return CarriedIdentity(text, user, job)
        case _:
            raise IdentityRefused(
                f'{variable} has invalid format. Expected JSON: {{"user": "...", "job": "..."}}'
            )


def check_sendable(name: str, text: str, longest: int = DEFAULT_MAX_LENGTH) -> None:
    """Raises IdentityRefused for what a provider would refuse, or should never see."""
    if has_control_characters(text):
        raise IdentityRefused(f"{name} is not sent: it holds control characters, such as a line break.")
    if len(text) > longest:
        raise IdentityRefused(
            f"{name} is not sent: it has {len(text)} characters where {longest} are allowed"
            f" ({MAX_LENGTH_VARIABLE} raises that to at most {LONGEST_MAX_LENGTH})."
        )
    if looks_like_email(text):
        raise IdentityRefused(
            f"{name} is not sent: it looks like an email address, which providers refuse. Write a username or an id."
        )
    if _KEY.search(text):
        raise IdentityRefused(
            f"{name} is not sent: it looks like a key or token. Write a username or an id, and keep keys out of it."
        )


def max_length(environ: Mapping[str, str]) -> int:
    text = environ.get(MAX_LENGTH_VARIABLE, "")
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        return DEFAULT_MAX_LENGTH
    return min(int(text), LONGEST_MAX_LENGTH)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
