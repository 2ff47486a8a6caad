"""Asks a provider's admin API for its reports, page by page.

The admin key goes to the address that was asked for and nowhere else: redirects are refused, and so is
plain HTTP to another machine. It is in no error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPException
from ipaddress import ip_address
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from byline.usage.reconcile.reports import Family, Page, ReportError, pages_in

ADMIN_KEY_ENV: Final[Mapping[Family, str]] = {
    "anthropic": "ANTHROPIC_ADMIN_API_KEY",
    "openai": "OPENAI_ADMIN_KEY",
}
TIMEOUT_S: Final = 60.0
ATTEMPTS: Final = 4
MAX_PAGES: Final = 1000
MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
_DAYS_PER_PAGE: Final = 31
_BUSY: Final = frozenset({429, 500, 502, 503, 504, 529})


class AdminApiError(RuntimeError):
    """The report can't be had; the message says what to do."""


class AdminApi:
    def __init__(
        self, family: Family, base_url: str, key: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        _refuse_open_wire(base_url)
        self._family: Family = family
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._sleep = sleep
        self._opener = build_opener(_NoRedirects)

    def reports(self, since: datetime, until: datetime) -> Iterator[Page]:
        """Usage and costs by day and model. Raises AdminApiError, ReportError."""
        for path, question in _questions(self._family, since, until):
            yield from self._pages(path, question)

    def _pages(self, path: str, question: Sequence[tuple[str, str]]) -> Iterator[Page]:
        cursor: list[tuple[str, str]] = []
        for _ in range(MAX_PAGES):
            (page,) = pages_in(self._ask(f"{path}?{urlencode([*question, *cursor])}"))
            yield page
            if not page.has_more or not page.next_page:
                return
            cursor = [("page", page.next_page)]
        raise AdminApiError(f"{path} has more than {MAX_PAGES} pages: ask for fewer days")

    def _ask(self, target: str) -> bytes:
        request = Request(self._base_url + target, headers=_headers(self._family, self._key))  # noqa: S310 - checked
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    data: bytes = answer.read(MAX_PAGE_BYTES + 1)
            except HTTPError as error:
                if error.code not in _BUSY or attempt == ATTEMPTS:
                    raise AdminApiError(_refusal(self._family, error)) from None
                self._sleep(_pause(error.headers, attempt))
            except (URLError, OSError, HTTPException) as error:
                reason = getattr(error, "reason", None) or type(error).__name__
                raise AdminApiError(f"{self._base_url} can't be reached: {reason}") from None
            else:
                if len(data) > MAX_PAGE_BYTES:
                    raise ReportError("a page of this report is too long to be one")
                return data
        raise AssertionError("the last attempt returns or raises")


def _questions(family: Family, since: datetime, until: datetime) -> list[tuple[str, list[tuple[str, str]]]]:
    if family == "anthropic":
        window = [("starting_at", f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
                  ("ending_at", f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
                  ("bucket_width", "1d"), ("limit", str(_DAYS_PER_PAGE))]  # fmt: skip
        return [
            (
                "/v1/organizations/usage_report/messages",
                [*window, ("group_by[]", "model"), ("group_by[]", "service_tier")],
            ),
            ("/v1/organizations/cost_report", [*window, ("group_by[]", "description")]),
        ]
    window = [("start_time", str(int(since.timestamp()))), ("end_time", str(int(until.timestamp()))),
              ("bucket_width", "1d"), ("limit", str(_DAYS_PER_PAGE))]  # fmt: skip
    return [
        (
            "/v1/organization/usage/completions",
            [*window, ("group_by[]", "model"), ("group_by[]", "service_tier")],
        ),
        ("/v1/organization/costs", [*window, ("group_by[]", "line_item")]),
    ]


def _headers(family: Family, key: str) -> dict[str, str]:
    common = {"user-agent": "byline", "accept": "application/json"}
    if family == "anthropic":
        return {**common, "x-api-key": key, "anthropic-version": "2023-06-01"}
    return {**common, "authorization": f"Bearer {key}"}


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """None makes the redirect an error: its target must not get the key."""


def _refuse_open_wire(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname)):
        return
    raise AdminApiError(
        "an admin key is sent over https only: set base_url to an https:// address, or use --file"
    )


def _is_this_machine(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


class _ErrorBody(msgspec.Struct):
    class Error(msgspec.Struct):
        message: str = ""

    error: Error = msgspec.field(default_factory=Error)


def _refusal(family: Family, error: HTTPError) -> str:
    said = _said(error)
    if error.code in (401, 403):
        return (
            f"the provider refuses the admin key ({error.code}{said}): reports need an admin key of the organization, "
            f"not one that calls models; put it into {ADMIN_KEY_ENV[family]}"
        )
    if 300 <= error.code < 400:
        return f"the provider's address redirects ({error.code}): set base_url to where it leads"
    return f"the provider answered {error.code}{said}"


def _said(error: HTTPError) -> str:
    try:
        body = msgspec.json.decode(error.read(65_536), type=_ErrorBody)
    except (msgspec.MsgspecError, OSError, HTTPException):
        return ""
    return f": {body.error.message[:200]}" if body.error.message else ""


def _pause(headers: Message, attempt: int) -> float:
    try:
        return min(60.0, max(0.0, float(headers.get("retry-after", ""))))
    except ValueError:
        return float(2**attempt)
