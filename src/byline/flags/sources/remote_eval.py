"""A remote evaluator, GrowthBook's proxy or a Byline gateway: values come evaluated, rules stay there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import msgspec

from byline.flags.evaluation import read_evaluated
from byline.flags.payload import PayloadRefused, parse_payload
from byline.flags.snapshot import Json
from byline.flags.sources.http import HttpOptions, ask, checked_url
from byline.flags.sources.source import Fetched, StreamAddress


class RemoteEval:
    def __init__(
        self,
        host_url: str,
        client_key: str,
        attributes: Mapping[str, Json],
        *,
        forced_variations: Mapping[str, int] | None = None,
        streaming: bool = False,
        headers: Mapping[str, str] | None = None,
        options: HttpOptions = HttpOptions(),  # noqa: B008 - a frozen value
    ) -> None:
        """Raises ValueError for an address that is none. Nothing is asked yet."""
        base = checked_url(host_url)
        self.name = f"remote evaluation at {urlsplit(base).hostname}"
        self._url = f"{base}/api/eval/{quote(client_key, safe='')}"
        self._headers = {
            "accept": "application/json",
            "content-type": "application/json",
            **(headers or {}),
        }
        self._body = msgspec.json.encode(
            {
                "attributes": attributes,
                "forcedVariations": forced_variations or {},
                "forcedFeatures": [],
                "url": "",
            }
        )
        self._options = options
        self.stream: StreamAddress | None = None
        if streaming:
            self.stream = StreamAddress(f"{base}/sub/{quote(client_key, safe='')}", dict(headers or {}))

    def fetch(self, validator: str | None) -> Fetched | None:
        """A POST has no ETag, so the answer's digest serves as one."""
        answer = ask(self._url, self._options, headers=self._headers, body=self._body)
        if answer is None:
            raise PayloadRefused("a POST was answered with 304")
        digest = hashlib.sha256(answer.body).hexdigest()
        if digest == validator:
            return None
        return Fetched(read_evaluated(parse_payload(answer.body)), digest)

    def read_event(self, data: bytes) -> Fetched:
        """The stream doesn't know our attributes: its events only say that it is time to fetch."""
        raise PayloadRefused("the stream of a remote evaluator carries no values")
