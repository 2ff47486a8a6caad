"""What every wire API reads of a request body, in one scan.

The field names are the API's own and come in as a `BodyLayout`. Refuses bodies that gateway and
provider could read differently; leaves every other mistake to the provider, whose answer is better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from functools import cache, cached_property
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from byline.apis.api import BodyError, Buffer
from byline.wire.json_members import JsonError, JsonObject, check_utf8, read_object, read_string
from byline.wire.spelling import AnyCase

_int = msgspec.json.Decoder(int)
_NO_BODY = JsonObject(b"", {})
_NO_METADATA: Mapping[str, str] = MappingProxyType({})
_LARGEST_COUNT = 2**53
"""Beyond it a parser may round; no model has such a limit."""
MAX_READ_BYTES = 4 * 1024 * 1024
"""Of one member that is read rather than passed over: unescaping a name of 60 MB took 0.3 s of the loop."""


class BodyLayout(msgspec.Struct, frozen=True, dict=True):
    """Where one API keeps what Byline reads and writes."""

    identity: str
    """The member that holds the identity; inside `parent` where there is one."""
    parent: str | None = None
    other_identity: str | None = None
    """The API's second identity field: overwritten where the client sends it, never added."""
    output_limits: tuple[str, ...] = ()
    usage_on_request: bool = False
    """Streams carry usage only where `stream_options.include_usage` is true."""
    runs_in_background: bool = False
    client_metadata: bool = False
    read_once: frozenset[str] = frozenset()
    """Top-level names that Byline acts on: repeated, they could be read two ways."""

    @cached_property
    def names(self) -> AnyCase:
        return AnyCase(self.acts_on)

    @cached_property
    def acts_on(self) -> frozenset[str]:
        """Every top-level name that `scan` and stamping look for."""
        named = {"model", "stream", "stream_options", "background", "client_metadata", self.identity}
        named |= {name for name in (self.parent, self.other_identity) if name}
        return self.read_once | named | set(self.output_limits)


class RequestScan(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one body, and what stamping needs of it."""

    body: JsonObject
    parent: JsonObject | None = None
    stream_options: JsonObject | None = None
    model: str | None = None
    streaming: bool = False
    background: bool = False
    max_output_tokens: int | None = None
    client_identifier: str | None = None
    client_metadata: Mapping[str, str] = _NO_METADATA
    asks_for_usage: bool = True

    def without_body(self) -> RequestScan:
        return replace(self, body=_NO_BODY, parent=None, stream_options=None)


def scan(body: Buffer, layout: BodyLayout) -> RequestScan:
    """Reads the facts of a body. Raises BodyError naming what is ambiguous or unreadable."""
    source = body if isinstance(body, bytes) else bytes(body)
    try:
        found = read_object(source)
        check_utf8(source)
    except JsonError as error:
        raise BodyError(f"request body {error}") from None
    if found.duplicates:
        _refuse_repeated(found.duplicates & layout.read_once, "")
    values = found.values
    _refuse_respelled(layout.names, values, "")
    if len(source) > MAX_READ_BYTES:
        _refuse_oversized(values, layout.acts_on)
    parent = None if layout.parent is None else _inner(values, layout.parent, layout.identity)
    identity = values if layout.parent is None else parent.values if parent else {}
    streaming = _flag(values, "stream")
    options, asks_for_usage = _usage_request(values, streaming) if layout.usage_on_request else (None, True)
    return RequestScan(
        body=found,
        parent=parent,
        stream_options=options,
        model=_model(values.get("model")),
        streaming=streaming,
        background=layout.runs_in_background and _flag(values, "background"),
        max_output_tokens=_output_limit(values, layout.output_limits),
        client_identifier=read_string(identity.get(layout.identity)),
        client_metadata=_client_metadata(values) if layout.client_metadata else _NO_METADATA,
        asks_for_usage=asks_for_usage,
    )


def _refuse_repeated(names: Set[str], prefix: str) -> None:
    if names:
        raise BodyError(f"request body has {prefix}{min(names)} more than once; send it once")


def _refuse_respelled(names: AnyCase, found: Iterable[str], prefix: str) -> None:
    """To a provider that passes over case, `"User"` is a second `"user"`, and the last one counts."""
    if (meant := names.respelled(found)) is not None:
        raise BodyError(f"request body has {prefix}{meant} in other letters; write it as {meant}")


@cache
def _alone(name: str) -> AnyCase:
    return AnyCase([name])


def _refuse_oversized(values: dict[str, msgspec.Raw], names: Set[str]) -> None:
    for name in sorted(names & values.keys()):
        if len(values[name]) > MAX_READ_BYTES:
            raise BodyError(f"{name} is larger than {MAX_READ_BYTES} bytes")


def _inner(values: dict[str, msgspec.Raw], name: str, read_once: str | None = None) -> JsonObject | None:
    """The member `name` as an object; None where it is absent or something else."""
    value = values.get(name)
    if value is None or not (raw := bytes(value)).startswith(b"{"):
        return None
    try:
        found = read_object(raw)
    except JsonError as error:
        raise BodyError(f"{name} {error}") from None
    if read_once is not None:
        if read_once in found.duplicates:
            _refuse_repeated({read_once}, f"{name}.")
        _refuse_respelled(_alone(read_once), found.values, f"{name}.")
    return found


def _flag(values: dict[str, msgspec.Raw], name: str) -> bool:
    raw = values.get(name)
    if raw is None:
        return False
    text = bytes(raw)
    if text not in (b"true", b"false", b"null"):
        raise BodyError(f"{name} must be true or false")
    return text == b"true"


def _model(raw: msgspec.Raw | None) -> str | None:
    if raw is None or bytes(raw) == b"null":
        return None
    model = read_string(raw)
    if model is None:
        raise BodyError("model must be a string")
    return model


def _usage_request(values: dict[str, msgspec.Raw], streaming: bool) -> tuple[JsonObject | None, bool]:
    """The `stream_options` object, and whether this call's usage will come without being asked for.

    A value that is neither object nor null, or a flag that is not boolean, is refused: providers that
    coerce it (`0`, `"false"`) would send no usage to a gateway that took it for a yes.
    """
    raw = values.get("stream_options")
    if raw is None:
        return None, not streaming
    options = _inner(values, "stream_options", "include_usage")
    if options is None:
        if bytes(raw) != b"null":
            raise BodyError("stream_options must be an object")
        return None, not streaming
    try:
        asked = _flag(options.values, "include_usage")
    except BodyError as error:
        raise BodyError(f"stream_options.{error}") from None
    return options, asked or not streaming


def _output_limit(values: dict[str, msgspec.Raw], names: tuple[str, ...]) -> int | None:
    largest = None
    for name in names:
        if (raw := values.get(name)) is not None and (limit := _count(raw)) is not None:
            largest = limit if largest is None else max(largest, limit)
    return largest


def _count(raw: msgspec.Raw) -> int | None:
    try:
        count = _int.decode(raw)
    except msgspec.DecodeError:
        return None
    return count if 0 <= count <= _LARGEST_COUNT else None


def _client_metadata(values: dict[str, msgspec.Raw]) -> Mapping[str, str]:
    members = _inner(values, "client_metadata")
    if members is None:
        return _NO_METADATA
    return {name: text for name, raw in members.values.items() if (text := read_string(raw)) is not None}
