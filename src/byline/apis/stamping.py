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
    body = facts.body
    edits: list[Edit] = []
    added: list[bytes] = []
    if identifier is not None:
        value = _encode(identifier)
        if layout.parent is None:
            _set(body, layout.identity, value, edits, added)
        else:
            _set_inner(body, layout.parent, facts.parent, layout.identity, value, edits, added)
        if overwrite_other_field and layout.other_identity in body.values:
            _set(body, layout.other_identity, value, edits, added)
    if ask_for_usage and not facts.asks_for_usage:
        _set_inner(body, "stream_options", facts.stream_options, "include_usage", b"true", edits, added)
    if added:
        edits.append(_addition(body, 0, added))
    segments, length = splice(body.source, edits)
    return Stamped(segments, length)


def _set(target: JsonObject, name: str, value: bytes, edits: list[Edit], added: list[bytes]) -> None:
    if name in target.values:
        edits.append((*target.span(name), value))
    else:
        added.append(b"%b:%b" % (_encode(name), value))


def _set_inner(
    target: JsonObject,
    name: str,
    inner: JsonObject | None,
    member: str,
    value: bytes,
    edits: list[Edit],
    added: list[bytes],
) -> None:
    """Sets a member of the object `name`; puts a new object in the place of anything else."""
    if inner is None:
        _set(target, name, b"{%b:%b}" % (_encode(member), value), edits, added)
        return
    offset = target.span(name)[0]
    if member in inner.values:
        start, end = inner.span(member)
        edits.append((offset + start, offset + end, value))
    else:
        edits.append(_addition(inner, offset, [b"%b:%b" % (_encode(member), value)]))


def _addition(target: JsonObject, offset: int, members: list[bytes]) -> Edit:
    """New members go in before the closing brace."""
    text = b",".join(members)
    close = offset + target.close()
    return close, close, b"," + text if target.values else text
