"""What every simulated API offers the server: read a request, write an answer, fail in style."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from byline.testing.conversation import Prompt, Reply
from byline.testing.simulation import Simulation
from byline.testing.tokens import Usage

Family = Literal["anthropic", "openai"]
Json = Mapping[str, object]


class Refusal(Exception):
    """The provider says no: a status, a type of its own vocabulary and a sentence."""

    def __init__(
        self, status: int, message: str, *, error_type: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_type = error_type
        self.code = code


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream as bytes, with the usage that a reader knows once it has it."""

    data: bytes
    reported: Usage | None = None


@dataclass(frozen=True, slots=True)
class Ids:
    """The names of one answer. `number` counts the answers of this provider."""

    number: int
    request_id: str
    created_at: int

    def of(self, prefix: str, part: int = 0) -> str:
        return f"{prefix}{self.number:012x}{part:04x}simulated"


class Shape(Protocol):
    family: Family

    def read(self, body: bytes, seed: int) -> Prompt:
        """Raises Refusal where the real provider would answer 400."""
        ...

    def whole(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Json: ...
    def events(self, prompt: Prompt, reply: Reply, ids: Ids, simulation: Simulation) -> Iterator[Event]: ...
    def failure(self, ids: Ids, simulation: Simulation) -> Iterator[Event]:
        """What ends a stream that fails after its head has gone out."""
        ...


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def server_sent(data: Json, name: str | None = None, *, padding: int = 0) -> bytes:
    """One event in the wire format; Anthropic pads its data with spaces, and so may we."""
    line = b"data: " + compact(data) + b" " * padding + b"\n\n"
    return b"event: %b\n%b" % (name.encode(), line) if name else line


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "not_found"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("server_error", "server_is_overloaded"),
}
_MESSAGES = {
    401: "The credential sent is not one of this simulated provider.",
    429: "This request would exceed the rate limit of the organization.",
    500: "Internal server error",
    529: "Overloaded",
}


def error_body(family: Family, refusal: Refusal, request_id: str) -> Json:
    """A blocking error in the provider's own shape."""
    if family == "anthropic":
        kind = refusal.error_type or _ANTHROPIC_TYPES.get(refusal.status, "api_error")
        error = {"type": kind, "message": refusal.message}
        return {"type": "error", "error": error, "request_id": request_id}
    usual, code = _OPENAI_TYPES.get(refusal.status, ("server_error", None))
    kind, code = refusal.error_type or usual, refusal.code or code
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}


def simulated_refusal(simulation: Simulation, status: int) -> Refusal:
    message = simulation.message or _MESSAGES.get(status, f"Simulated error {status}")
    return Refusal(status, message, error_type=simulation.error_type)
