"""Fetches a newer edition of the price data, on request, and keeps it only if it is whole.

A mirror needs no more than one file: the library's `data.json` of the installed format version.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from byline.usage.prices.catalogue import UPDATE_URL, Catalogue, parsed
from byline.usage.prices.files import PriceFiles

MAX_BYTES: Final = 32 * 1024 * 1024
TIMEOUT_S: Final = 30.0
SCHEMES: Final = ("https", "http", "file")
REQUIRED_LISTS: Final = ("anthropic", "openai")
LEAST_SHARE: Final = 0.5
"""An edition with fewer models than this share of those known is taken for a damaged one."""


class UpdateError(RuntimeError):
    """No new edition; the prices in use stay. `str(error)` says why and is safe to show."""


def update(files: PriceFiles, url: str, at: datetime, timeout_s: float = TIMEOUT_S) -> Path:
    """Fetches from `url`, or from the library's authors, checks and keeps. Raises UpdateError."""
    data = _fetch(url or UPDATE_URL, timeout_s)
    _check(data, files.catalogue())
    return files.keep(data, at)


def _fetch(url: str, timeout_s: float) -> bytes:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise UpdateError("prices.update_url must begin with https://, http:// or file://")
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    try:
        request = Request(url, headers={"user-agent": "byline"})  # noqa: S310 - the scheme is checked above
        with urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            data: bytes = answer.read(MAX_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        raise UpdateError(f"{shown} can't be fetched: {getattr(error, 'reason', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise UpdateError(f"{shown} is longer than {MAX_BYTES // 2**20} MiB, which no price list is")
    return data


def _check(data: bytes, known: Catalogue) -> None:
    try:
        fetched = parsed(data, "fetched")
    except ValueError as error:
        raise UpdateError(f"what came is {error}") from None
    for price_list in REQUIRED_LISTS:
        if not fetched.model_count(price_list):
            raise UpdateError(f"what came has no models of {price_list}")
    if fetched.model_count() < LEAST_SHARE * known.model_count():
        raise UpdateError(
            f"what came has {fetched.model_count()} models where {known.model_count()} are known"
        )
