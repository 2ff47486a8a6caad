"""First-party rows to a gateway's events route, as NDJSON under a Byline key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from byline.telemetry.delivery import TryAgain
from byline.telemetry.event import Row
from byline.telemetry.posting import check_url, post, require_accepted, within_limits

PATH: Final = "/byline/v1/events"
MAX_LINES: Final = 5000
MAX_BODY_BYTES: Final = 4_000_000
_AUTHENTICATION: Final = frozenset({401, 403})


class _Taken(msgspec.Struct):
    refused: int = 0


class GatewayRoute:
    """Delivers for `FirstParty`. Idempotent: the gateway tells repeated rows by their `event_id`."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 5.0) -> None:
        self._url = check_url(url).rstrip("/") + PATH
        self._key = key
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"GatewayRoute({self._url})"

    def __call__(self, rows: Sequence[Row]) -> int:
        """Returns how many rows the gateway refused for good."""
        lines = [msgspec.json.encode(row) for row in rows]
        return sum(self._post(group) for group in within_limits(lines, MAX_LINES, MAX_BODY_BYTES))

    def _post(self, lines: Sequence[bytes]) -> int:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/x-ndjson"}
        answer = post(self._url, b"\n".join(lines), headers, self._timeout_s)
        if answer.status in _AUTHENTICATION:
            # A key can be renewed; until then the rows are safe on the disk.
            raise TryAgain(f"the gateway answered {answer.status}: is the Byline key good?")
        require_accepted(answer)
        return _refused(answer.body)


def _refused(body: bytes) -> int:
    try:
        return msgspec.json.decode(body, type=_Taken).refused
    except msgspec.MsgspecError:
        return 0
