"""Anthropic's `POST /v1/messages`: identity in `metadata.user_id`, usage out of the message events."""

from __future__ import annotations

from copy import copy

import msgspec

from byline.apis import anthropic_usage, request, stamping, values
from byline.apis.api import ApiName, Buffer, Meter, Reading, RequestFacts, Stamped
from byline.apis.meter import AnswerMeter, read_whole
from byline.apis.values import Members

name: ApiName = "messages"
identity_field = "metadata.user_id"

_ABSENT = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode
_LAYOUT = request.BodyLayout(
    identity="user_id",
    parent="metadata",
    output_limits=("max_tokens",),
    read_once=frozenset({"model", "stream", "stream_options", "metadata", "max_tokens"}),
)
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
    """The body with `metadata.user_id` set; other members of `metadata` stay."""
    return stamping.stamp(
        facts, _LAYOUT, identifier, overwrite_other_field=overwrite_other_field, ask_for_usage=ask_for_usage
    )


def meter(*, streaming: bool) -> Meter:
    return AnswerMeter(_MessageReader(), streaming=streaming)


def read_answer(body: bytes, reading: Reading) -> None:
    if not _read_documented(body, reading):
        read_whole(meter(streaming=False), body, reading)


class _Message(msgspec.Struct, gc=False):
    """The members of a whole answer that matter; the content is passed over unread."""

    id: values.Text | None = None
    model: values.Text | None = None
    stop_reason: values.Text | None = None
    error: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT


_message = msgspec.json.Decoder(_Message)


def _read_documented(body: bytes, reading: Reading) -> bool:
    """Reads a whole answer all of whose members are as documented; False for any other."""
    if not body.startswith(b"{"):
        return False
    try:
        message = _message.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    # Copied, because a raw value keeps the whole body alive.
    usage = bytes(message.usage)
    if not usage.startswith(b"{") or usage.find(b"null") >= 0:
        return False
    reading.usage_complete = True
    reading.response_id = message.id
    reading.model_reported = message.model
    reading.finish_reason = message.stop_reason
    if message.error is not _ABSENT:
        reading.error_type = values.error_type(message.error)
    reading.raw_usage = values.bounded(usage)
    anthropic_usage.apply_usage(usage, reading)
    return True


class _MessageReader:
    """Counts in `message_delta` are cumulative and may correct the first ones: the last one stands."""

    __slots__ = ("_head", "_usage")

    def __init__(self) -> None:
        self._head = Reading()
        self._usage: Members = {}

    def wants(self, events: bytes) -> bool:
        return events.find(b"message_") >= 0 or events.find(b"error") >= 0

    def read_event(self, name: bytes, data: bytes) -> None:
        event = values.members(data)
        if event is None:
            if name == b"error":
                self._head.error_type = "error"
            return
        kind = values.text(event.get("type")) or name.decode("ascii", "replace")
        if kind == "message_start":
            self._start(values.members(event.get("message")) or {})
        elif kind == "message_delta":
            delta = values.members(event.get("delta")) or {}
            self._head.finish_reason = values.text(delta.get("stop_reason")) or self._head.finish_reason
            self._merge(event.get("usage"))
        elif kind == "message_stop":
            self._head.usage_complete = True
        elif kind == "error":
            self._head.error_type = values.error_type(event.get("error")) or "error"

    def read_body(self, body: bytes) -> None:
        if not _read_documented(body, self._head):
            self._read_unusual(body)

    def _read_unusual(self, body: bytes) -> None:
        """Fields of other types than documented cost themselves alone."""
        message = values.members(body)
        if message is None:
            return
        self._head.usage_complete = True
        self._head.error_type = values.error_type(message.get("error"))
        self._head.finish_reason = values.text(message.get("stop_reason"))
        self._start(message)

    def read_end(self) -> None:
        pass

    def reading(self) -> Reading:
        reading = copy(self._head)
        if self._usage:
            raw = _encode(self._usage)
            anthropic_usage.apply_usage(raw, reading)
            reading.raw_usage = values.bounded(raw)
        return reading

    def _start(self, message: Members) -> None:
        """A second `message_start` only fills gaps, as it does in Anthropic's own clients."""
        head = self._head
        head.response_id = head.response_id or values.text(message.get("id"))
        head.model_reported = head.model_reported or values.text(message.get("model"))
        known = self._usage
        self._usage = {}
        self._merge(message.get("usage"))
        self._usage.update(known)

    def _merge(self, raw: msgspec.Raw | None) -> None:
        # Copied, because a raw value keeps the whole event alive.
        text = None if raw is None else bytes(raw)
        usage = values.members(text) or {}
        if text is not None and text.find(b"null") >= 0:
            usage = {name: value for name, value in usage.items() if values.present(value)}
        self._usage.update(usage)
