"""OpenAI's `POST /v1/chat/completions`: identity in `user`, usage in one of the last chunks."""

from __future__ import annotations

from copy import copy

from byline.apis import openai_usage, request, stamping, values
from byline.apis.api import ApiName, Buffer, Meter, Reading, RequestFacts, Stamped
from byline.apis.meter import AnswerMeter, read_whole
from byline.apis.usage_event_filter import UsageEventFilter
from byline.apis.values import Members

__all__ = ["UsageEventFilter", "identity_field", "meter", "name", "read_request", "stamp"]

name: ApiName = "chat.completions"
identity_field = "user"

_LAYOUT = request.BodyLayout(
    identity="user",
    other_identity="safety_identifier",
    output_limits=("max_completion_tokens", "max_tokens"),
    usage_on_request=True,
    read_once=frozenset(
        {
            "model",
            "stream",
            "stream_options",
            "user",
            "safety_identifier",
            "max_completion_tokens",
            "max_tokens",
        }
    ),
)
acts_on = _LAYOUT.acts_on
_OPENING_EVENTS = 4
"""Azure and others send chunks without id or model first; later ones repeat what is known."""
_DONE_WITHIN = 32
"""[DONE] closes a stream: it stands at the end of a read."""


def read_request(body: Buffer) -> RequestFacts:
    """Raises BodyError."""
    return request.scan(body, _LAYOUT)


def stamp(
    facts: RequestFacts,
    identifier: str | None,
    *,
    overwrite_other_field: bool = False,
    ask_for_usage: bool = False,
) -> Stamped:
    """The body with `user` set and, where asked, `stream_options.include_usage` true."""
    return stamping.stamp(
        facts, _LAYOUT, identifier, overwrite_other_field=overwrite_other_field, ask_for_usage=ask_for_usage
    )


def meter(*, streaming: bool) -> Meter:
    return AnswerMeter(_ChunkReader(), streaming=streaming)


def read_answer(body: bytes, reading: Reading) -> None:
    read_whole(meter(streaming=False), body, reading)


class _ChunkReader:
    """Usage comes with or without choices, once or in every chunk: the last one that is not null stands."""

    __slots__ = ("_done", "_markers", "_opening", "_reading")

    def __init__(self) -> None:
        self._reading = Reading()
        self._opening = _OPENING_EVENTS
        self._markers = _markers(b"")
        self._done = False

    def wants(self, events: bytes) -> bool:
        usage, reason = self._markers
        find = events.find
        return (
            self._opening > 0
            or find(usage) >= 0
            or find(reason) >= 0
            or find(b"error") >= 0
            or find(b"[DONE]", -_DONE_WITHIN) >= 0
        )

    def read_event(self, name: bytes, data: bytes) -> None:
        if data.startswith(b"[DONE]"):
            self._done = True
            return
        chunk = values.members(data)
        if chunk is not None:
            self._opening -= 1
            self._markers = _markers(data)
            self._read(chunk)
        elif name == b"error":
            self._reading.error_type = "error"

    def read_body(self, body: bytes) -> None:
        completion = values.members(body)
        if completion is not None:
            self._read(completion)
            self._done = True

    def read_end(self) -> None:
        # Not every server says [DONE]; with a finish reason, the promised end will do.
        self._done = self._done or self._reading.finish_reason is not None

    def reading(self) -> Reading:
        reading = copy(self._reading)
        ended = self._done or (reading.finish_reason is not None and reading.raw_usage is not None)
        reading.usage_complete = ended or None
        return reading

    def _read(self, chunk: Members) -> None:
        reading = self._reading
        reading.response_id = reading.response_id or values.text(chunk.get("id"))
        reading.model_reported = reading.model_reported or values.text(chunk.get("model"))
        reading.service_tier = values.text(chunk.get("service_tier")) or reading.service_tier
        reading.error_type = values.error_type(chunk.get("error")) or reading.error_type
        for choice in values.array(chunk.get("choices")) or ():
            reason = values.text((values.members(choice) or {}).get("finish_reason"))
            reading.finish_reason = reason or reading.finish_reason
        raw = chunk.get("usage")
        if raw is not None and (usage := values.members(bytes(raw))):
            openai_usage.apply_usage(usage, openai_usage.CHAT, reading)
            reading.raw_usage = values.bounded(bytes(raw))


def _markers(chunk: bytes) -> tuple[bytes, bytes]:
    """What a usage and a finish reason look like in a stream written as this chunk is.

    Text can't fake either, since its quotes are escaped. A quote is in every chunk of any other style.
    """
    if chunk.find(b'"choices":[') >= 0:
        return b'"usage":{', b'"finish_reason":"'
    if chunk.find(b'"choices": [') >= 0:
        return b'"usage": {', b'"finish_reason": "'
    return b'"', b'"'
