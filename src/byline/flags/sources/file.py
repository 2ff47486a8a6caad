"""A file in GrowthBook's format, evaluated here. Replace it whole (write beside it, then rename)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from byline.flags.evaluation import evaluate_payload
from byline.flags.payload import MAX_BYTES, parse_payload
from byline.flags.snapshot import Json
from byline.flags.sources.source import Fetched, SourceError, StreamAddress


class FeatureFile:
    def __init__(self, path: Path, attributes: Mapping[str, Json], decryption_key: str = "") -> None:
        self.name = f"the file {path}"
        self.stream: StreamAddress | None = None
        self._path = path
        self._attributes = attributes
        self._decryption_key = decryption_key

    def fetch(self, validator: str | None) -> Fetched | None:
        try:
            found = self._path.stat()
            identity = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
            if identity == validator:
                return None
            with self._path.open("rb") as file:
                document = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SourceError(f"{self._path} can't be read: {error.strerror}") from None
        payload = parse_payload(document, self._decryption_key)
        return Fetched(evaluate_payload(payload, self._attributes), identity, payload)

    def read_event(self, data: bytes) -> Fetched:
        raise NotImplementedError("a file has no stream")
