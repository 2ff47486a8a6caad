"""How the gateway itself says no: in the provider's shape, with a request id."""

from __future__ import annotations

from collections.abc import Sequence

from byline.apis.api import Family


class Refused(Exception):
    """A request that is not passed on. `str(error)` is safe to send to the client.

    `kind` is the row's `error_type`, such as `authentication`; the provider's own type goes by status.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        provider_type: str | None = None,
        code: str | None = None,
    ) -> None:
        """`provider_type`, `code`: where the provider has more than one error of that status."""
        super().__init__(message)
        self.provider_type = provider_type
        self.code = code
        self.status = status
        self.kind = kind
        self.headers = headers


def kind_of_status(status: int) -> str:
    """For refusals that HTTP itself demands."""
    match status:
        case 401:
            return "authentication"
        case 403:
            return "permission"
        case 404:
            return "not_found"
        case 413 | 414 | 431:
            return "too_large"
        case 415 | 417 | 426 | 501 | 505:
            return "unsupported"
        case 503:
            return "overloaded"
        case _:
            return "invalid_request"


def request_id_header(family: Family) -> str:
    """Anthropic answers with `request-id`, OpenAI with `x-request-id`."""
    return "request-id" if family == "anthropic" else "x-request-id"
