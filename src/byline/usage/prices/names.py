"""Reads model names as clients and providers write them, down to the plain name a price list uses.

Purely textual: says which plain names a spelling may stand for, never whether such a model exists.
Accepted around a name that a list knows, and nothing else:

- a catalogue prefix, as routers write it: `anthropic/claude-sonnet-4-5`
- a path: `publishers/anthropic/models/claude-...`, `models/gemini-...`, a Bedrock ARN
- a real calendar date at the end: `-20250929`, `-2025-04-14`, `@20250929` (Vertex)
- `-latest`, and Claude Code's context marker `[1m]`
- Bedrock's region profile, vendor and version: `us.anthropic.claude-...-v1:0`
- the owner of a fine-tuned model: `ft:gpt-4o-2024-08-06:acme:support:1a2b`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

MAX_NAME_LENGTH = 256
"""Longer strings name no model; they would only fill the caches."""

_CONTEXT_MARK = re.compile(r"\[1m\]$")
_DATE = re.compile(r"[-@](20\d\d)(?:-(\d\d)-(\d\d)|(\d\d)(\d\d))$")
_BEDROCK = re.compile(
    r"^(?:(?:us|eu|apac|jp|au|ca|sa|us-gov|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|nvidia|openai|qwen|stability|writer)\."
)  # fmt: skip
_BEDROCK_VERSION = re.compile(r"(?:-v\d+)?(?::\d+)?(?::\d+k)?$")
_VERTEX_REVISION = re.compile(r"-v\d$")


def cleaned(model: str) -> str:
    """The spelling that is looked up: lower case, without the marks that change no price."""
    return _CONTEXT_MARK.sub("", model.lower())


def platform(model: str) -> str | None:
    """The price list that a spelling belongs to whoever served it; None where it doesn't say."""
    last = model.rpartition("/")[2]
    if _BEDROCK.match(last):
        return "aws"
    if _DATE.search(last) and "@" in last:
        return "google"
    return None


def plain_names(model: str) -> Iterator[str]:
    """What is left of a cleaned spelling as its wrappers come off, the spelling itself first."""
    yield model
    if model.startswith("ft:"):
        yield from _dated(model.split(":")[1])
        return
    yield from _dated(model)
    if _BEDROCK.match(model):
        unversioned = _BEDROCK_VERSION.sub("", model)
        yield unversioned
        yield from _dated(_BEDROCK.sub("", unversioned))


def without_latest(model: str) -> str:
    return model.removesuffix("-latest").removesuffix("@latest")


def _dated(name: str) -> Iterator[str]:
    yield name
    yield without_latest(name)
    if match := _DATE.search(name):
        year, *parts = (int(part) for part in match.groups() if part is not None)
        if _is_date(year, parts[0], parts[1]):
            bare = name[: match.start()]
            yield bare
            yield _VERTEX_REVISION.sub("", bare)


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
