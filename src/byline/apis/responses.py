"""OpenAI's `POST /v1/responses`: identity in `safety_identifier`, usage in the closing event."""

from __future__ import annotations

from copy import copy

from byline.apis import openai_usage, request, stamping, values
from byline.apis.api import ApiName, Buffer, Meter, Reading, RequestFacts, Stamped
from byline.apis.meter import AnswerMeter, read_whole
from byline.apis.values import Members

name: ApiName = "responses"
identity_field = "safety_identifier"

_LAYOUT = request.BodyLayout(
    identity="safety_identifier",
    other_identity="user",
    output_limits=("max_output_tokens",),
    runs_in_background=True,
    client_metadata=True,
    read_once=frozenset(
        {"model", "stream", "stream_options", "safety_identifier", "user", "background", "max_output_tokens"}
    ),
)
_CLOSING = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
acts_on = _LAYOUT.acts_on


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
    """The body with `safety_identifier` set."""
    return stamping.stamp(
        facts, _LAYOUT, identifier, overwrite_other_field=overwrite_other_field, ask_for_usage=ask_for_usage
    )


def meter(*, streaming: bool) -> Meter:
    return AnswerMeter(_ResponseReader(), streaming=streaming)


def read_answer(body: bytes, reading: Reading) -> None:
    read_whole(meter(streaming=False), body, reading)


class _ResponseReader:
    """Every event that opens or closes a response carries it whole, under `response`."""

    __slots__ = ("_reading",)

    def __init__(self) -> None:
        self._reading = Reading()

    def wants(self, events: bytes) -> bool:
        return events.find(b'"response"') >= 0 or events.find(b"error") >= 0

    def read_event(self, name: bytes, data: bytes) -> None:
        event = values.members(data)
        if event is None:
            if name == b"error":
                self._reading.error_type = "error"
            return
        kind = values.text(event.get("type")) or name.decode("ascii", "replace")
        if kind == "error" or values.error_type(event.get("error")):
            self._reading.error_type = _error_type(event)
        elif (response := values.members(event.get("response"))) is not None:
            if kind in _CLOSING:
                self._reading.usage_complete = True
            self._read_response(response)

    def read_body(self, body: bytes) -> None:
        response = values.members(body)
        if response is not None:
            self._reading.usage_complete = True
            self._read_response(response)

    def read_end(self) -> None:
        pass

    def reading(self) -> Reading:
        return copy(self._reading)

    def _read_response(self, response: Members) -> None:
        reading = self._reading
        reading.response_id = values.text(response.get("id")) or reading.response_id
        reading.model_reported = values.text(response.get("model")) or reading.model_reported
        reading.service_tier = values.text(response.get("service_tier")) or reading.service_tier
        reading.error_type = values.error_type(response.get("error")) or reading.error_type
        if reading.usage_complete:
            reading.finish_reason = _finish_reason(response)
            if reading.finish_reason == "failed":
                reading.error_type = reading.error_type or "error"
        raw = response.get("usage")
        if raw is not None and (usage := values.members(bytes(raw))):
            openai_usage.apply_usage(usage, openai_usage.RESPONSES, reading)
            reading.raw_usage = values.bounded(bytes(raw))


def _finish_reason(response: Members) -> str | None:
    details = values.members(response.get("incomplete_details")) or {}
    return values.text(details.get("reason")) or values.text(response.get("status"))


def _error_type(event: Members) -> str:
    """An `error` event has its code on itself, or an error object like a blocking answer."""
    return values.error_type(event.get("error")) or values.text(event.get("code")) or "error"
