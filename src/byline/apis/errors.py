"""Byline's own errors, in the shape of the provider whose API the client called.

Official clients pick exception class and retry by status and `type`, so both are the provider's own.
"""

from __future__ import annotations

import msgspec

from byline.apis.api import Family

_encode = msgspec.json.Encoder().encode

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {429: "rate_limit_error", 401: "invalid_request_error"}
_OPENAI_CODES = {
    401: "invalid_api_key",
    404: "not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}
_FIRST_SERVER_ERROR = 500


def error_type(family: Family, status: int) -> str:
    """The `type` the provider itself gives an error of that status."""
    server_error = status >= _FIRST_SERVER_ERROR
    if family == "anthropic":
        return _ANTHROPIC_TYPES.get(status, "api_error" if server_error else "invalid_request_error")
    return _OPENAI_TYPES.get(status, "server_error" if server_error else "invalid_request_error")


def error_body(
    family: Family,
    status: int,
    message: str,
    *,
    request_id: str | None = None,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
) -> bytes:
    """A JSON error body. `kind` replaces the `type` that goes with the status.

    `code` and `param` exist with OpenAI alone; OpenAI carries the request id in a header alone.
    """
    kind = kind or error_type(family, status)
    if family == "anthropic":
        error = {"type": kind, "message": message}
        return _encode({"type": "error", "error": error, "request_id": request_id})
    code = code or _OPENAI_CODES.get(status)
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})
