"""The JSON documents that stand in identity fields: `{"user":...,"job":...}` and Claude Code's own."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

MAX_DOCUMENT_CHARS = 8192
"""A longer identity field is not read as a document; the longest real one has about 250."""

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OURS = ("user", "job")


def user_job(user: str, job: str) -> str:
    return json.dumps({"user": user, "job": job}, ensure_ascii=False, separators=(",", ":"))


def read_members(text: str) -> Mapping[str, msgspec.Raw] | None:
    """The members of a JSON object, unread; None for anything else."""
    if len(text) > MAX_DOCUMENT_CHARS:
        return None
    try:
        return _MEMBERS.decode(text)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return None


def with_identity(members: Mapping[str, msgspec.Raw], user: str, job: str | None) -> str | None:
    """`members` behind our own `user` and `job`; a client's members of those names are left out.

    None where the outcome would not be valid text.
    """
    ours = {"user": user} if job is None else {"user": user, "job": job}
    theirs = {name: value for name, value in members.items() if name not in _OURS}
    try:
        return msgspec.json.encode({**ours, **theirs}).decode("utf-8")
    except ValueError:
        return None
