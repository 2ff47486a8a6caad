"""Requests as a coding agent sends them: a Messages body with system, tools, turns and metadata.

A request is written as pieces, between which the load generator puts what differs from one request
to the next: the content length, and a number and a filler inside the last user turn, as a conversation
goes on - or, for bodies that continue nothing, inside the first. `SESSION` stands where each connection
has a session id of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SESSION = "SSSSSSSS-SSSS-SSSS-SSSS-SSSSSSSSSSSS"
FILLER = "<filler>"
VARY_BYTES = 256
"""Bodies differ by up to this much in length, so that a head is rarely seen twice."""
SMALL_BYTES = 2_198
LARGE_BYTES = 201_561

_USER_ID = json.dumps(
    {"device_id": "c0ffee" * 10 + "d00d", "account_uuid": "", "session_id": SESSION}, separators=(",", ":")
)
_FIRST_RESULT = '"type":"tool_result","tool_use_id":"toolu_00000000000000000000","content":"'
_PROSE = (
    "Read the rows of the export, group them by the owner and say which owner has none in the last week. "
)


@dataclass(frozen=True, slots=True)
class Request:
    head_start: str
    head_end: str
    body_start: str
    body_end: str

    @property
    def mean_body_bytes(self) -> int:
        number = 16
        return len(self.body_start) + number + VARY_BYTES // 2 + len(self.body_end)

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        for name in ("head_start", "head_end", "body_start", "body_end"):
            (directory / name).write_text(getattr(self, name))


def messages_request(
    body_bytes: int, *, tools: int, streaming: bool, credential: str, continues: bool = True
) -> Request:
    body = _body(body_bytes, tools, streaming)
    if not continues:
        body = body.replace(FILLER, "").replace(_FIRST_RESULT, _FIRST_RESULT + FILLER, 1)
    body_start, body_end = body.split(FILLER)
    head_start, head_end = _head(credential).split("<length>")
    return Request(head_start, head_end, body_start, body_end)


def _head(credential: str) -> str:
    lines = (
        "POST /v1/messages?beta=true HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: application/json",
        "X-Stainless-Retry-Count: 0",
        "X-Stainless-Timeout: 600",
        "X-Stainless-Lang: js",
        "X-Stainless-Package-Version: 0.94.0",
        "X-Stainless-OS: Linux",
        "X-Stainless-Arch: x64",
        "X-Stainless-Runtime: node",
        "X-Stainless-Runtime-Version: v24.3.0",
        "anthropic-dangerous-direct-browser-access: true",
        "anthropic-version: 2023-06-01",
        "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        f"Authorization: Bearer {credential}",
        "x-app: cli",
        "User-Agent: claude-cli/2.1.330 (external, cli)",
        f"X-Claude-Code-Session-Id: {SESSION}",
        "content-type: application/json",
        "accept-encoding: gzip, deflate, br, zstd",
        "Connection: keep-alive",
        "Content-Length: <length>",
    )
    return "\r\n".join(lines) + "\r\n\r\n"


def _tool(number: int) -> dict[str, object]:
    text = {"type": "string", "description": "Where to look, as an absolute path."}
    # A schema with a field named like the one that is stamped, as real tools have.
    nested = {"type": "object", "properties": {"user_id": text, "labels": {"type": "array", "items": text}}}
    properties = {"path": text, "metadata": nested, "limit": {"type": "integer", "minimum": 1}}
    schema = {"type": "object", "properties": properties, "required": ["path"], "additionalProperties": False}
    return {"name": f"search_{number}", "description": "Finds lines in files.", "input_schema": schema}


def _turns(total_bytes: int) -> list[dict[str, object]]:
    """Earlier turns of the conversation, about `total_bytes` of them, as an agent's history is: mostly tool results."""
    turns: list[dict[str, object]] = []
    result_bytes = 3_000
    for number in range(total_bytes // result_bytes):
        name = f"toolu_{number:020d}"
        use = {
            "type": "tool_use",
            "id": name,
            "name": "search_0",
            "input": {"path": f"/srv/{number}", "limit": 40},
        }
        text = "".join(f"{line:6d}\t{_PROSE[: 40 + line % 50]}\n" for line in range(result_bytes // 75))
        turns.append({"role": "assistant", "content": [use]})
        turns.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": text}]}
        )
    return turns


def _body(body_bytes: int, tools: int, streaming: bool) -> str:
    """The last turn is padded so that the mean body has exactly the size asked for."""
    number = 16
    fixed = len(_encode(tools, streaming, [], "")) - len(FILLER) + number + VARY_BYTES // 2
    turns = _turns(max(0, body_bytes - fixed - 1_000))
    missing = (
        body_bytes
        - fixed
        - (len(_encode(tools, streaming, turns, "")) - len(_encode(tools, streaming, [], "")))
    )
    if missing < 0:
        raise ValueError(f"a body of {body_bytes} B has no room for {tools} tools")
    padding = (_PROSE * (missing // len(_PROSE) + 1))[:missing]
    return _encode(tools, streaming, turns, padding)


def _encode(tools: int, streaming: bool, turns: list[dict[str, object]], padding: str) -> str:
    body = {
        "model": "claude-sonnet-4-5-20250929",
        "messages": [*turns, {"role": "user", "content": [{"type": "text", "text": padding + FILLER}]}],
        "system": [
            {
                "type": "text",
                "text": "You are a careful assistant. " * 4,
                "cache_control": {"type": "ephemeral"},
            }
        ],
        "tools": [_tool(number) for number in range(tools)],
        "metadata": {"user_id": _USER_ID},
        "max_tokens": 32_000,
        **({"stream": True} if streaming else {}),
    }
    return json.dumps(body, separators=(",", ":"))
