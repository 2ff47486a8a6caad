"""Plain values -> a source: for whoever reads settings, and for programs that have an environment only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from byline.flags.snapshot import Json
from byline.flags.sources.file import FeatureFile
from byline.flags.sources.growthbook_api import GrowthBookApi
from byline.flags.sources.http import HttpOptions
from byline.flags.sources.remote_eval import RemoteEval
from byline.flags.sources.source import Source

SourceKind = Literal["none", "growthbook", "remote_eval", "file", "gateway"]
ANY_CLIENT_KEY: Final = "byline"
"""What a gateway is asked for where a Byline key, not the client key, lets the caller in."""
FILE_INTERVAL_S: Final = 2.0


class SourceChoice(msgspec.Struct, frozen=True, kw_only=True):
    kind: SourceKind = "none"
    url: str = ""
    client_key: str = ""
    byline_key: str = ""
    decryption_key: str = ""
    file: Path | None = None
    streaming: bool = False
    http: HttpOptions = HttpOptions()

    def __repr__(self) -> str:
        """Without its keys."""
        return f"SourceChoice(kind={self.kind!r}, url={self.url!r}, file={self.file!r})"


def open_source(choice: SourceChoice, attributes: Mapping[str, Json]) -> Source | None:
    """Asks nobody yet. Raises ValueError for what can't work."""
    match choice.kind:
        case "none":
            return None
        case "file":
            if choice.file is None:
                raise ValueError("feature values from a file need its path")
            return FeatureFile(choice.file, attributes, choice.decryption_key)
        case "growthbook":
            return GrowthBookApi(
                choice.url,
                choice.client_key,
                attributes,
                decryption_key=choice.decryption_key,
                streaming=choice.streaming,
                options=choice.http,
            )
        case "remote_eval" | "gateway":
            return RemoteEval(
                choice.url,
                choice.client_key or ANY_CLIENT_KEY,
                attributes,
                streaming=choice.streaming and choice.kind == "remote_eval",
                headers={"x-byline-key": choice.byline_key} if choice.byline_key else None,
                options=choice.http,
            )


def interval_of(kind: SourceKind, poll_interval_s: float) -> float:
    """A file costs one look at its date."""
    return min(poll_interval_s, FILE_INTERVAL_S) if kind == "file" else poll_interval_s


def place_of(choice: SourceChoice) -> str:
    """What makes one source another one, for the key of its snapshot."""
    return f"{choice.kind} {choice.file.absolute() if choice.file else choice.url}"
