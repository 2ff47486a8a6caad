"""GrowthBook's API or CDN: the payload with its rules, evaluated here."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from byline.flags.evaluation import evaluate_payload
from byline.flags.payload import parse_payload
from byline.flags.snapshot import Json
from byline.flags.sources.http import HttpOptions, ask, checked_url
from byline.flags.sources.source import Fetched, StreamAddress
from byline.flags.sticky import StickyBuckets


class GrowthBookApi:
    def __init__(
        self,
        host_url: str,
        client_key: str,
        attributes: Mapping[str, Json],
        *,
        decryption_key: str = "",
        streaming: bool = False,
        headers: Mapping[str, str] | None = None,
        sticky_buckets: StickyBuckets | None = None,
        options: HttpOptions = HttpOptions(),  # noqa: B008 - a frozen value
    ) -> None:
        """Raises ValueError for an address that is none. Nothing is asked yet."""
        base = checked_url(host_url)
        self.name = f"GrowthBook at {urlsplit(base).hostname}"
        self._url = f"{base}/api/features/{quote(client_key, safe='')}"
        self._headers = {"accept": "application/json", **(headers or {})}
        self._attributes = attributes
        self._decryption_key = decryption_key
        self._sticky_buckets = sticky_buckets
        self._options = options
        self.stream: StreamAddress | None = None
        if streaming:
            self.stream = StreamAddress(f"{base}/sub/{quote(client_key, safe='')}", dict(headers or {}))

    def fetch(self, validator: str | None) -> Fetched | None:
        headers = {**self._headers, "if-none-match": validator} if validator else self._headers
        answer = ask(self._url, self._options, headers=headers)
        return None if answer is None else self._read(answer.body, answer.etag)

    def read_event(self, data: bytes) -> Fetched:
        """The stream sends the payload itself, which the next fetch need not find under the same ETag."""
        return self._read(data, None)

    def _read(self, document: bytes, validator: str | None) -> Fetched:
        payload = parse_payload(document, self._decryption_key)
        return Fetched(evaluate_payload(payload, self._attributes, self._sticky_buckets), validator, payload)
