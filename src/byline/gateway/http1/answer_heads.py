"""Reads the heads of one provider's answers, which repeat but for a few lines: only those are read.

A line that differs from the last answer's in the value alone changes nothing else about the head,
unless its name decides about framing or connection. Everything else is read from the beginning.
"""

from __future__ import annotations

import re
from itertools import compress, count
from operator import ne

from byline.gateway.http1.response_head import AnswerField, ResponseHead, read_length, read_response_head

MAX_CHANGED_LINES = 8
MAX_KEPT_HEAD_BYTES = 16_384
_VALUE = re.compile(rb"[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?")


class AnswerHeads:
    """Shared by the connections to one provider."""

    def __init__(self) -> None:
        self._last: dict[int, ResponseHead] = {}
        """By the number of lines: streams have others than blocking answers."""

    def read(self, block: bytes) -> ResponseHead:
        """`block` without the empty line at its end. Raises AnswerFramingError."""
        lines = block.split(b"\r\n")
        last = self._last.get(len(lines))
        head = (last and _changed(last, lines)) or read_response_head(lines)
        if len(block) <= MAX_KEPT_HEAD_BYTES:
            self._last[len(lines)] = head
        return head


def _changed(last: ResponseHead, lines: list[bytes]) -> ResponseHead | None:
    """None where more than a few values differ."""
    changed = list(compress(count(), map(ne, lines, last.lines)))
    if not changed:
        return last
    if changed[0] == 0 or len(changed) > MAX_CHANGED_LINES:
        return None
    fields, read, travelling = last.fields.copy(), last.read.copy(), last.travelling.copy()
    quota, length = last.quota, last.content_length
    for index in changed:
        old, line = fields[index - 1], lines[index]
        before = len(old.line) - len(old.value)
        value = line[before:]
        if not (
            line.startswith(old.line[:before]) and old.line.endswith(old.value) and _VALUE.fullmatch(value)
        ):
            return None
        fields[index - 1] = field = AnswerField(
            old.name, value, line, old.is_hop_by_hop, old.is_read, old.is_quota
        )
        if old.is_read:
            if read[old.name] is not old.value:
                return None  # the name stands there twice
            read[old.name] = value
        if not old.is_hop_by_hop:
            if travelling.count(old.line) != 1:
                return None
            travelling[travelling.index(old.line)] = line
        elif old.name == b"content-length":
            length = read_length(value)
        else:
            return None
        if field.is_quota:
            quota = tuple(field.line for field in fields if field.is_quota)
    return ResponseHead(
        last.status,
        last.reason,
        lines,
        fields,
        read,
        travelling,
        quota,
        length,
        last.chunked,
        last.keep_alive,
    )
