"""A head with places for the values that change from answer to answer."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Set

from msgspec.structs import replace

from byline.gateway.http1.head_widths import HeadWidths, Parts
from byline.gateway.http1.response_head import ResponseHead, read_id, read_length
from byline.wire.pick import pick

MAX_WIDTHS = 32
"""Of one kind of heads, each length of them once."""
JUDGED_MISFITS = 256
"""Fewer than two fits for each, and cutting by position costs more than it saves (measured: below 1.2): it is given up.
With more, it begins anew: the widths of now may be others."""
_SECRET = frozenset({b"set-cookie"})
"""Such lines have places from the start, because of a place no value is kept."""
_VALUE = rb"([!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)"


class HeadTemplate:
    """Made from one head. `places`: the lines whose values may differ, by index."""

    def __init__(self, head: ResponseHead, places: Set[int] = frozenset()) -> None:
        layout, lines = head.layout, head.lines
        self._head = replace(head, block=b"", travelling=b"")
        self._places = sorted(
            index for index, name in enumerate(layout.names) if index in places or name in _SECRET
        )
        self._match = re.compile(
            _VALUE.join(map(re.escape, self._around(range(len(lines)), lines)))
        ).fullmatch
        self._lines = [layout.beginnings[at] if at in self._places else line for at, line in enumerate(lines)]
        number = {index: place for place, index in enumerate(self._places)}
        self._length = number.get(layout.length_at, -1)
        self._request_id = number.get(layout.request_id_at, -1)
        self._organization = number.get(layout.organization_at, -1)
        self._quota = [at for at, index in enumerate(layout.quota) if index in number]
        """Which of the head's quota lines have a place."""
        self._quota_of = pick([number[layout.quota[at]] for at in self._quota])
        """Their values among all."""
        self._travelling = _spread(self._around(layout.travelling, lines))
        self._travelling_places = [
            (2 * count + 1, number[index])
            for count, index in enumerate(index for index in layout.travelling if index in number)
        ]
        """Where in those pieces which place's value stands."""
        self._widths: dict[int, HeadWidths] = {}
        """By the length of the head; empty for good where they seldom fit."""
        self._fits = self._misfits = 0
        self._said: Parts = ()
        self._said_lines: tuple[bytes, ...] = ()

    def fill(self, block: bytes) -> ResponseHead | None:
        """None where more than the values of its places differ."""
        widths, head = self._widths.get(len(block)), self._head
        parts = None if widths is None else widths.cut(block)
        if widths is not None and parts is not None:
            self._fits += 1
            values, travelling = widths.values_of(parts), widths.travelling_of(parts)
        else:
            match = self._match(block)
            if match is None:
                return None
            values = match.groups()
            travelling = self._travelling_with(values)
            self._note_misfit(block, match)
        return ResponseHead(
            head.status, head.reason, block, head.layout,
            read_length(values[self._length].strip(b" \t")) if self._length >= 0 else head.content_length,
            head.chunked, head.keep_alive, b"".join(travelling),
            self._quota_with(values) if self._quota else head.quota,
            read_id(values[self._request_id]) if self._request_id >= 0 else head.request_id,
            read_id(values[self._organization]) if self._organization >= 0 else head.organization,
        )  # fmt: skip

    def _travelling_with(self, values: Parts) -> list[bytes]:
        pieces = self._travelling.copy()
        for at, place in self._travelling_places:
            pieces[at] = values[place]
        return pieces

    def _note_misfit(self, block: bytes, match: re.Match[bytes]) -> None:
        """Its widths are learnt unless those of another head as long are known."""
        self._misfits += 1
        if self._misfits == JUDGED_MISFITS:
            self._widths.clear()
            if self._fits > 2 * self._misfits:
                self._fits = self._misfits = 0
        is_new = len(block) not in self._widths and len(self._widths) < MAX_WIDTHS
        if self._places and is_new and self._misfits < JUDGED_MISFITS:
            places = [match.span(number) for number in range(1, len(self._places) + 1)]
            self._widths[len(block)] = HeadWidths(block, places, _runs(block, self._head.layout.travelling))

    def is_like(self, head: ResponseHead) -> bool:
        """Whether they differ in values alone."""
        known = self._head
        return (
            known.status == head.status
            and known.reason == head.reason
            and known.keep_alive == head.keep_alive
            and known.layout == head.layout
            and self._fixed_lines(self._lines) == self._fixed_lines(head.lines)
        )

    def adapted_to(self, head: ResponseHead) -> HeadTemplate:
        """Also for heads like that one: what differs gets places of its own."""
        lines = zip(self._lines, head.lines, strict=True)
        return HeadTemplate(head, {index for index, (line, other) in enumerate(lines) if line != other})

    def _quota_with(self, values: Parts) -> tuple[bytes, ...]:
        """The very same object as long as the values are."""
        said = self._quota_of(values)
        if said != self._said:
            lines, layout = list(self._head.quota), self._head.layout
            for at, value in zip(self._quota, said, strict=True):
                lines[at] = layout.beginnings[layout.quota[at]] + value
            self._said, self._said_lines = said, tuple(lines)
        return self._said_lines

    def _around(self, indices: Iterable[int], lines: list[bytes]) -> list[bytes]:
        """The text of these lines before, between and behind the places."""
        segments = [b""]
        for count, index in enumerate(indices):
            if count:
                segments[-1] += b"\r\n"
            if index in self._places:
                segments[-1] += self._head.layout.beginnings[index]
                segments.append(b"")
            else:
                segments[-1] += lines[index]
        return segments

    def _fixed_lines(self, lines: list[bytes]) -> list[bytes]:
        """Those in which another value would change more than itself."""
        beginnings = self._head.layout.beginnings
        return [line for line, beginning in zip(lines, beginnings, strict=True) if not beginning]


def _runs(block: bytes, indices: Container[int]) -> list[tuple[int, int]]:
    """Where these lines stand: each but the first with the line break in front of it, neighbours as one."""
    runs: list[tuple[int, int]] = []
    at = 0
    for index, line in enumerate(block.split(b"\r\n")):
        end = at + len(line)
        if index in indices:
            if runs and runs[-1][1] == at - 2:
                runs[-1] = runs[-1][0], end
            else:
                runs.append((at - 2 if runs else at, end))
        at = end + 2
    return runs


def _spread(segments: list[bytes]) -> list[bytes]:
    """With room for a value between each two."""
    pieces = [b""] * (2 * len(segments) - 1)
    pieces[::2] = segments
    return pieces
