"""One HTTP POST with a deadline, in a delivery thread. Follows no redirects: they would carry the key away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from byline.telemetry.delivery import TryAgain, Undeliverable

_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_ANSWER_BYTES: Final = 65_536


class Answer(msgspec.Struct, frozen=True):
    status: int
    retry_after_s: float | None = None
    body: bytes = b""
    """Its first bytes."""


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Any answer at all; raises TryAgain when there is none. Proxies come from the environment."""
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - checked by `check_url`
    try:
        with closing(_opener().open(request, timeout=timeout_s)) as answer:
            return Answer(int(answer.status), body=answer.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with closing(error):
            return Answer(error.code, _retry_after_s(error.headers.get("retry-after")))
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(f"no answer ({type(error).__name__})") from None


def require_accepted(answer: Answer) -> None:
    """Raises TryAgain or Undeliverable for what is not a success."""
    if 200 <= answer.status < 300:
        return
    if answer.status in _RETRYABLE:
        raise TryAgain(f"answered {answer.status}", answer.retry_after_s)
    raise Undeliverable("refused", f"answered {answer.status}")


def check_url(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is no address to send to: write https://...")
    return url


def _opener() -> Any:
    import urllib.request

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None

    return urllib.request.build_opener(NoRedirects())


def _retry_after_s(value: str | None) -> float | None:
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    import time

    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def within_limits(entries: Iterable[bytes], max_entries: int, max_bytes: int) -> Iterator[list[bytes]]:
    """Groups that each fit one request: `max_bytes` with a separator after each entry."""
    group: list[bytes] = []
    size = 0
    for entry in entries:
        if group and (len(group) == max_entries or size + len(entry) + 1 > max_bytes):
            yield group
            group, size = [], 0
        group.append(entry)
        size += len(entry) + 1
    if group:
        yield group
