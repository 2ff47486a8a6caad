"""Reads the heads of one provider's answers, which repeat but for a few lines: only those are read.

A line that differs from the last answer's in the value alone changes nothing else about the head,
unless its name decides about framing or connection. Everything else is read from the beginning.
"""

from __future__ import annotations

import re
from itertools import compress, count
from operator import ne

from byline.gateway.http1.response_head import ResponseHead, read_id, read_length, read_response_head

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
        head = None if last is None else _like(last, lines)
        if head is None:
            head = read_response_head(lines)
        if len(block) <= MAX_KEPT_HEAD_BYTES:
            self._last[len(lines)] = head
        return head


def _like(last: ResponseHead, lines: list[bytes]) -> ResponseHead | None:
    """None where more than values differ."""
    layout, length, quota = last.layout, last.content_length, last.quota
    request_id, organization = last.request_id, last.organization
    for index in compress(count(), map(ne, lines, last.lines)):
        beginning, line = layout.beginnings[index], lines[index]
        if not (beginning and line.startswith(beginning) and _VALUE.fullmatch(line, len(beginning))):
            return None
        if index == layout.length_at:
            length = read_length(line[len(beginning) :])
        elif index == layout.request_id_at:
            request_id = read_id(line[len(beginning) :])
        elif index == layout.organization_at:
            organization = read_id(line[len(beginning) :])
        elif index in layout.quota_at:
            quota = layout.quota(lines)
    return ResponseHead(
        last.status,
        last.reason,
        lines,
        layout,
        length,
        last.chunked,
        last.keep_alive,
        quota,
        request_id,
        organization,
    )
