"""The snapshot that outlives the process: what the next start reads before anything was fetched."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from byline.flags.atomic_file import remove_leftovers, replace_file
from byline.flags.snapshot import SCHEMA_VERSION, Json, Snapshot

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 * 1024 * 1024
REWRITE_AFTER_S: Final = 3600.0
"""An unchanged snapshot is written again after that, so that its age says when it was last confirmed."""


class _Stored(msgspec.Struct, frozen=True):
    schema: int
    key: str
    snapshot: Snapshot


_DECODER = msgspec.json.Decoder(_Stored)


def snapshot_key(source: str, client_key: str, attributes: Mapping[str, Json]) -> str:
    """Values hold for one client key and one set of attributes: nobody may be served another's."""
    parts = msgspec.json.encode([source, client_key, attributes], order="sorted")
    return hashlib.sha256(parts).hexdigest()[:32]


class DiskSnapshot:
    """Shared by all processes of the same key; the last writer wins. Never raises."""

    def __init__(self, directory: Path, key: str, now: Callable[[], float] = time.time) -> None:
        self.path = directory / f"features-v{SCHEMA_VERSION}-{key}.json"
        self._key = key
        self._now = now
        self._content = b""
        self._written_at = 0.0
        self.problem: str | None = None
        """Why the last reading or writing failed. An absent file is no problem."""

    def load(self) -> Snapshot | None:
        """None where there is none to be had: absent, unreadable, damaged or another version's."""
        try:
            stored = _DECODER.decode(self._read())
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._unusable(f"can't be read: {error.strerror}")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._unusable("is damaged")
        if stored.schema != SCHEMA_VERSION or stored.key != self._key:
            return self._unusable("is another version's or another key's")
        self._content = msgspec.json.encode(stored.snapshot.features)
        self._written_at = stored.snapshot.fetched_at
        return stored.snapshot

    def save(self, snapshot: Snapshot) -> None:
        """Nothing if the file says the same already and is young enough."""
        now = self._now()
        content = msgspec.json.encode(snapshot.features)
        if content == self._content and now - self._written_at < REWRITE_AFTER_S:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_leftovers(self.path)
            replace_file(self.path, msgspec.json.encode(_Stored(SCHEMA_VERSION, self._key, snapshot)))
        except OSError as error:
            self._unusable(f"can't be written: {error.strerror}")
        else:
            self.problem = None
            self._content, self._written_at = content, now

    def _read(self) -> bytes:
        with self.path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError("too large")
        return content

    def _unusable(self, reason: str) -> None:
        if self.problem != reason:
            log.warning("the snapshot of feature values %s %s", self.path, reason)
        self.problem = reason
