"""Reads what a request says about itself, out of headers and out of the client's identity field.

A claim is recorded, not trusted: nothing here decides whether it is accepted. Nothing here raises,
whatever a client sends, and every value is safe to print: bounded, without control characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from byline.identity.documents import MAX_DOCUMENT_CHARS
from byline.identity.model import Claims
from byline.identity.text import without_control_characters

MAX_CLAIM_BYTES = 512

_HEADERS = {
    b"x-byline-user": "user",
    b"x-byline-job": "job",
    b"x-claude-code-session-id": "claude_code_session_id",
    b"x-claude-code-agent-id": "agent_id",
    b"x-claude-code-parent-agent-id": "parent_agent_id",
    b"x-claude-code-prompt-id": "prompt_id",
    b"x-claude-code-request-class": "request_class",
    b"session-id": "session_id",  # Codex
    b"session_id": "session_id",  # older Codex
    b"x-session-id": "session_id",  # opencode
    b"thread-id": "thread_id",  # Codex: the session's id, but for resumed sessions
}
CLAIM_HEADERS = frozenset(_HEADERS)
"""The headers that `read_claims` looks at."""
_CLIENT_METADATA = {
    "job": "job",
    "x-codex-installation-id": "device_id",
    "session_id": "session_id",
    "session-id": "session_id",
    "thread_id": "thread_id",
    "thread-id": "thread_id",
}
_JSON_MEMBERS = {
    "user": "user",
    "job": "job",
    "device_id": "device_id",
    "account_uuid": "account_id",
    "session_id": "session_id",
}

_JSON_OBJECT = msgspec.json.Decoder(dict[str, object])
_UNDERSCORE_FORM = re.compile(
    r"user_(?P<device_id>[0-9A-Za-z]{1,128})"
    r"_account_(?P<account_id>[0-9A-Za-z-]{0,64})"
    r"_session_(?P<session_id>[0-9A-Za-z-]{1,64})"
)


def read_claims(
    headers: Sequence[tuple[bytes, bytes]],
    metadata_user_id: str | None,
    client_metadata: Mapping[str, str],
) -> Claims:
    """`headers` have lower-case names. Of a repeated header the first one counts.

    `metadata_user_id` is what the client put into the identity field, whatever the provider calls
    it; `client_metadata` is Codex's object of that name.
    """
    found: dict[str, str] = {}
    for header in headers:
        if header[0] in _HEADERS:
            _add(found, _HEADERS[header[0]], header[1].decode("utf-8", "replace"))
    if metadata_user_id:
        _read_identity_field(found, metadata_user_id)
    if client_metadata:
        _read_members(found, client_metadata, _CLIENT_METADATA)
    return _claims(found) if found else Claims()


def clean_claim(text: str) -> str | None:
    """`text` fit for a row and a terminal: no control characters, at most 512 bytes; None if empty."""
    text = without_control_characters(text[:MAX_DOCUMENT_CHARS]).strip()
    if len(text) > MAX_CLAIM_BYTES // 4:
        text = text.encode("utf-8")[:MAX_CLAIM_BYTES].decode("utf-8", "ignore").rstrip()
    return text or None


def _add(found: dict[str, str], claim: str, text: str) -> None:
    """Sources are read in order of precedence, so the first value stays."""
    if claim not in found and (cleaned := clean_claim(text)) is not None:
        found[claim] = cleaned


def _claims(found: dict[str, str]) -> Claims:
    thread_id = found.pop("thread_id", None)
    session_id = found.get("claude_code_session_id") or found.get("session_id") or thread_id
    if session_id is not None:
        found["session_id"] = session_id
    return Claims(**found)


def _read_members(found: dict[str, str], members: Mapping[str, object], claims: Mapping[str, str]) -> None:
    for name, claim in claims.items():
        if isinstance(value := members.get(name), str) and value:
            _add(found, claim, value)


def _read_identity_field(found: dict[str, str], text: str) -> None:
    if len(text) > MAX_DOCUMENT_CHARS:
        return
    if text.startswith("user_"):
        _read_underscore_form(found, text)
    elif text.lstrip().startswith("{"):
        _read_json_form(found, text)


def _read_underscore_form(found: dict[str, str], text: str) -> None:
    """Claude Code before 2.1.78: `user_<hash>_account_<uuid or nothing>_session_<uuid>`."""
    match = _UNDERSCORE_FORM.fullmatch(text)
    if match is not None:
        for claim, value in match.groupdict().items():
            _add(found, claim, value)
        _add(found, "claude_code_session_id", match["session_id"])


def _read_json_form(found: dict[str, str], text: str) -> None:
    """Claude Code's object, with or without extra members, or a plain `{"user":...,"job":...}`."""
    try:
        members = _JSON_OBJECT.decode(text)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return
    _read_members(found, members, _JSON_MEMBERS)
    session_id = members.get("session_id")
    if "device_id" in members and isinstance(session_id, str):
        _add(found, "claude_code_session_id", session_id)
