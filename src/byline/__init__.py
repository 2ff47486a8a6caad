"""Byline puts a byline on every request to a model API, and keeps the books.

These names are the client runtime: what a program imports that calls a model API. Each is loaded on
first use, so that importing `byline` costs next to nothing.
"""

from __future__ import annotations

from byline._build import BUILD

TYPE_CHECKING = False  # `typing` takes longer to load than all the rest
if TYPE_CHECKING:
    from typing import Any

    from byline.runtime.answers import AnswerHead, observe_answers
    from byline.runtime.child_env import child_env
    from byline.runtime.current import identify
    from byline.runtime.instrumenting import instrument, uninstrument
    from byline.runtime.recording import flush_usage, record_usage

__version__ = "0.1.0" if BUILD == "public" else "0.1.0+internal"

__all__ = [
    "AnswerHead",
    "child_env",
    "flush_usage",
    "identify",
    "instrument",
    "observe_answers",
    "record_usage",
    "uninstrument",
]

_HOMES = {
    "AnswerHead": "answers",
    "child_env": "child_env",
    "flush_usage": "recording",
    "identify": "current",
    "instrument": "instrumenting",
    "observe_answers": "answers",
    "record_usage": "recording",
    "uninstrument": "instrumenting",
}
"""Public name -> the module of `byline.runtime` that has it."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'byline' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"byline.runtime.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
