"""Puts the identity into a scanned body, and a request for usage where one is wanted."""

from __future__ import annotations

import msgspec

from byline.apis.api import RequestFacts, Stamped
from byline.apis.request import BodyLayout, RequestScan
from byline.wire.json_members import JsonObject
from byline.wire.splice import Edit, splice

_encode = msgspec.json.Encoder().encode


def stamp(
    facts: RequestFacts,
    layout: BodyLayout,
    identifier: str | None,
    *,
    overwrite_other_field: bool,
    ask_for_usage: bool,
) -> Stamped:
    """The body with the identifier in its field; what is not asked for keeps its bytes."""
    if not isinstance(facts, RequestScan):
        raise TypeError("stamp takes the facts that read_request of the same API returned")
    editor = _Editor(facts.body)
    if identifier is not None:
        value = _encode(identifier)
        if layout.parent is None:
            editor.set(layout.identity, value)
        else:
            editor.set_inner(layout.parent, facts.parent, layout.identity, value)
        if overwrite_other_field and layout.other_identity in facts.body.values:
            editor.set(layout.other_identity, value)
    if ask_for_usage and not facts.asks_for_usage:
        editor.set_inner("stream_options", facts.stream_options, "include_usage", b"true")
    segments, length = splice(facts.body.source, editor.edits())
    return Stamped(segments, length)


class _Editor:
    """Collects the edits of one object; new members go in before its closing brace."""

    __slots__ = ("_added", "_edits", "_object", "_offset")

    def __init__(self, target: JsonObject, offset: int = 0) -> None:
        self._object = target
        self._offset = offset
        self._edits: list[Edit] = []
        self._added: list[bytes] = []

    def set(self, name: str, value: bytes) -> None:
        if name not in self._object.values:
            self._added.append(b"%b:%b" % (_encode(name), value))
            return
        start, end = self._object.span(name)
        self._edits.append(Edit(self._offset + start, self._offset + end, value))

    def set_inner(self, name: str, inner: JsonObject | None, member: str, value: bytes) -> None:
        """Sets a member of the object `name`; puts a new object in the place of anything else."""
        if inner is None:
            self.set(name, b"{%b:%b}" % (_encode(member), value))
            return
        editor = _Editor(inner, self._offset + self._object.span(name)[0])
        editor.set(member, value)
        self._edits += editor.edits()

    def edits(self) -> list[Edit]:
        if not self._added:
            return self._edits
        text = b",".join(self._added)
        if self._object.values:
            text = b"," + text
        close = self._offset + self._object.close()
        return [*self._edits, Edit(close, close, text)]
