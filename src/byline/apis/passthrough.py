"""The calls that travel untouched: counted as requests, stamped with nothing, metered for errors only."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from byline.apis import values
from byline.apis.api import ApiName, Buffer, Meter, Reading, RequestFacts, Stamped
from byline.apis.meter import AnswerMeter, read_whole
from byline.wire.json_members import JsonError, read_object

_MAX_ERROR_BYTES = 256 * 1024
"""Answers of other calls may be files; their errors are small."""
_MAX_MODEL_BYTES = 64 * 1024


class UntouchedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the row wants to know of a body that nothing is changed in."""

    body: Buffer
    model: str | None = None
    streaming: bool = False
    background: bool = False
    max_output_tokens: int | None = None
    client_identifier: str | None = None
    client_metadata: Mapping[str, str] = {}
    asks_for_usage: bool = True

    def without_body(self) -> UntouchedRequest:
        return replace(self, body=b"")


class Passthrough:
    """An Api without an identity field. `read_request` never raises."""

    identity_field: str = ""
    acts_on: frozenset[str] = frozenset()

    def __init__(self, name: ApiName, *, names_model: bool = False) -> None:
        self.name: ApiName = name
        self._names_model = names_model

    def read_request(self, body: Buffer) -> RequestFacts:
        return UntouchedRequest(body=body, model=_model(bytes(body)) if self._names_model else None)

    def stamp(
        self,
        facts: RequestFacts,
        identifier: str | None,
        *,
        overwrite_other_field: bool = False,
        ask_for_usage: bool = False,
    ) -> Stamped:
        """The body as it came, whatever is asked for."""
        del identifier, overwrite_other_field, ask_for_usage
        if not isinstance(facts, UntouchedRequest):
            raise TypeError("stamp takes the facts that read_request of the same API returned")
        return Stamped([facts.body] if facts.body else [], len(facts.body))

    def meter(self, *, streaming: bool) -> Meter:
        limit = _MAX_ERROR_BYTES
        return AnswerMeter(_ErrorReader(), streaming=streaming, max_event_bytes=limit, max_body_bytes=limit)

    def read_answer(self, body: bytes, reading: Reading) -> None:
        read_whole(self.meter(streaming=False), body, reading)


class _ErrorReader:
    __slots__ = ("_reading",)

    def __init__(self) -> None:
        self._reading = Reading()

    def wants(self, events: bytes) -> bool:
        return b"error" in events

    def read_event(self, name: bytes, data: bytes) -> None:
        error = (values.members(data) or {}).get("error")
        if name == b"error" or error is not None:
            self._reading.error_type = values.error_type(error) or self._reading.error_type

    def read_body(self, body: bytes) -> None:
        self._reading.error_type = values.error_type((values.members(body) or {}).get("error"))

    def read_end(self) -> None:
        self._reading.usage_complete = True

    def reading(self) -> Reading:
        return self._reading


def _model(body: bytes) -> str | None:
    """None as well for a body of more members than the gateway walks: 50 MB of tiny ones, read as a whole,
    took 3.6 s and a gigabyte. What is wrong with such a body is the provider's to say."""
    try:
        model = read_object(body).values.get("model")
    except JsonError:
        return None
    return None if model is None or len(model) > _MAX_MODEL_BYTES else values.text(model)


COUNT_TOKENS = Passthrough("count_tokens", names_model=True)
MODELS = Passthrough("models")
OTHER = Passthrough("other")
