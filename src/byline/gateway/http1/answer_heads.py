"""Reads the heads of one provider's answers, which repeat but for a few values: only those are read.

A line that differs from an earlier answer's in the value alone changes nothing else about the head,
unless its name decides about framing or connection. Everything else is read from the beginning.
"""

from __future__ import annotations

from byline.gateway.http1.head_template import HeadTemplate
from byline.gateway.http1.response_head import ResponseHead, read_response_head

MAX_LEARNT_BYTES = 4096
MAX_TEMPLATES = 16
"""Blocking answers, streams and refusals of a provider have heads of their own."""
STRANGE_ANSWERS = 256
"""Making a pattern takes a millisecond, sixty times what reading a head takes: it must not happen for each."""


class AnswerHeads:
    """Shared by the connections to one provider."""

    def __init__(self) -> None:
        self._templates: list[HeadTemplate] = []
        """The last that fitted first."""
        self._may_learn = MAX_TEMPLATES
        self._strange = 0
        """Heads read from the beginning since the last of them that was learnt."""

    def read(self, block: bytes) -> ResponseHead:
        """`block` without the empty line at its end. Raises AnswerFramingError."""
        for template in self._templates:
            head = template.fill(block)
            if head is not None:
                if template is not self._templates[0]:
                    self._put_first(template, instead_of=template)
                return head
        head = read_response_head(block)
        if len(block) <= MAX_LEARNT_BYTES and self._may_learn_now():
            self._learn(head)
        return head

    def _may_learn_now(self) -> bool:
        """At once in the beginning; later one of many strange heads."""
        self._strange += 1
        if self._may_learn:
            self._may_learn -= 1
        elif self._strange >= STRANGE_ANSWERS:
            self._strange = 0
        else:
            return False
        return True

    def _learn(self, head: ResponseHead) -> None:
        for known in self._templates:
            if known.is_like(head):
                self._put_first(known.adapted_to(head), instead_of=known)
                return
        self._templates.insert(0, HeadTemplate(head))
        del self._templates[MAX_TEMPLATES:]

    def _put_first(self, template: HeadTemplate, *, instead_of: HeadTemplate) -> None:
        self._templates.remove(instead_of)
        self._templates.insert(0, template)
