"""Where recorded usage goes: a journal on this machine, or a gateway's usage route."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from byline.runtime.outbox import Undeliverable
from byline.usage.journal import JournalOptions, JournalWriter, new_writer_id
from byline.usage.record import UsageRecord

USAGE_PATH: Final = "/byline/v1/usage"
_TIMEOUT_S: Final = 5.0
_encode = msgspec.json.Encoder().encode


class JournalDelivery:
    """Appends to `data_dir`'s journal, which `byline ingest` or a server there drains.

    Opened with the first rows, and by one thread alone.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._writer: JournalWriter | None = None
        self._soon: list[Callable[[], object]] = []
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._process = os.getpid()

    def __call__(self, rows: Sequence[UsageRecord | Mapping[str, object]]) -> None:
        """Rows of `api_usage`, or of `api_events` as mappings."""
        if self._process != os.getpid():
            self._forget()
        if self._writer is None:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._writer = self._open()
        self._run_due()
        if self._writer.trouble() is not None:
            raise OSError("the journal can't be written")
        for row in rows:
            if isinstance(row, UsageRecord):
                self._writer.append_end(row)
            else:
                self._writer.append_event(row)
        self._run_due()

    def _open(self) -> JournalWriter:
        return JournalWriter(
            self._data_dir / "journal",
            new_writer_id("client"),
            call_soon=self._soon.append,
            call_later=lambda delay_s, callback: self._later.append((time.monotonic() + delay_s, callback)),
            options=JournalOptions(sync_interval_s=1.0),
        )

    def _run_due(self) -> None:
        """The writer thinks it is on an event loop; this thread is its loop."""
        now = time.monotonic()
        due = [callback for at, callback in self._later if at <= now]
        self._later = [entry for entry in self._later if entry[0] > now]
        for callback in (*self._take_soon(), *due, *self._take_soon()):
            callback()
        for callback in self._take_soon():
            callback()

    def _take_soon(self) -> list[Callable[[], object]]:
        soon = self._soon[:]
        self._soon.clear()
        return soon

    def _forget(self) -> None:
        """The segment is the parent's; a forked child writes its own."""
        self._process = os.getpid()
        self._writer = None
        self._soon.clear()
        self._later.clear()


class GatewayDelivery:
    """Posts rows to a gateway, which attributes them to the key's owner. Idempotent by row id."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no gateway's address; write one such as http://127.0.0.1:8787")
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + USAGE_PATH
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}

    def __call__(self, rows: Sequence[UsageRecord]) -> None:
        connection = self._connect()
        try:
            connection.request("POST", self._path, b"\n".join(map(_encode, rows)), self._headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status >= 500 or answer.status == 429:
            raise OSError(f"the gateway answered {answer.status}")
        if answer.status != 200:
            raise Undeliverable(
                f"the gateway answered {answer.status} {answer.reason}; is the Byline key good?"
            )

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=_TIMEOUT_S)
