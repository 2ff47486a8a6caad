"""What the simulated provider is told to do with one request, and the words to say it in.

The same options in three places: `SimulatedProvider(simulate=...)` for every request,
`provider.simulate(...)` for the next ones, and the header `x-simulate` for one; the later wins.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from byline.testing.tokens import Usage

HEADER = "x-simulate"
Options = dict[str, object]
Quota = Literal["auto", "buckets", "unified", "warning", "rejected", "none"]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}


class SimulationError(ValueError):
    """An option that does not exist or a value it cannot have; the text names both."""


def _option_name(field: str) -> str:
    return field.removesuffix("_s").replace("_", "-")


class Simulation(msgspec.Struct, frozen=True, kw_only=True, rename=_option_name, forbid_unknown_fields=True):
    """Options are written `cut-after=3; pace=10ms; gzip`; a flag alone means true."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    """Answer with this error instead."""
    error_type: str | None = None
    message: str | None = None
    retry_after: str | None = None
    """Sent as the header, as it stands."""
    should_retry: bool | None = None
    """Sent as `x-should-retry`."""
    error_after: _Count | None = None
    """After so many events of a stream, an error event and the end."""
    cut: Literal["before-headers", "after-headers"] | None = None
    cut_after: _Count | None = None
    """After so many events of a stream (bytes of a blocking body) the connection ends."""
    reset: bool = False
    """Cuts are a TCP reset instead of an end of stream."""
    stall_after: _Count | None = None
    """After so many events, silence for `stall`; without it, until the client leaves."""
    stall_s: float | None = None
    first_byte_s: float = 0.0
    """Silence before the status line."""
    pace_s: float = 0.0
    """Silence before each further event."""
    lock_step: bool = False
    """Each further event waits for one `confirm()`."""
    split: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Bytes per write and per chunk; one event each if absent."""
    gzip: bool = False
    deflate: bool = False
    close: bool = False
    """The body ends with the connection: no length, no chunks."""
    no_usage: bool = False
    tokens: Usage | None = None
    """`tokens=input-uncached:100,cache-read:50,output:7`."""
    events: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    """How many words the answer has; each is one delta."""
    text: str | None = None
    quota: Quota = "auto"
    headers: dict[str, str] = {}
    """Further headers of the answer: `headers=name:value,name:value`."""
    replay: bytes | None = None
    """A recorded stream to send instead; text is taken as base64."""

    @property
    def encoding(self) -> Literal["gzip", "deflate"] | None:
        return "gzip" if self.gzip else "deflate" if self.deflate else None


def parse(text: str) -> Options:
    """The options of a header or a command line, not yet checked against the table."""
    options: Options = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = part.partition("=")
        options[name.strip().lower()] = value.strip() if equals else True
    return options


def build(*layers: Options) -> Simulation:
    """One simulation out of layers of options; a later layer wins."""
    merged = {name: _prepared(name, value) for layer in layers for name, value in layer.items()}
    try:
        return msgspec.convert(merged, Simulation, strict=False)
    except msgspec.ValidationError as error:
        raise SimulationError(f"{error}; options are: {', '.join(sorted(_NAMES))}") from None


_NAMES = frozenset(field.encode_name for field in msgspec.structs.fields(Simulation))
_DURATIONS = frozenset(_option_name(name) for name in Simulation.__struct_fields__ if name.endswith("_s"))


def _prepared(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if name in _DURATIONS:
        return _seconds(name, value)
    if name in ("tokens", "headers"):
        pairs = (pair.partition(":") for pair in value.split(","))
        return {key.strip(): item.strip() for key, _, item in pairs}
    return value


def _seconds(name: str, text: str) -> float:
    if match := _DURATION.fullmatch(text):
        return float(match[1]) * _UNITS_S[match[2]]
    raise SimulationError(f"{name}={text} is not a duration; write it as 10ms, 2s or 1m")
