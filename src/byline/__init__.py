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
    from byline.runtime.events import (
        attach_sink,
        event_sink,
        flush_events,
        i_verified_this_is_not_code_or_filepaths,
        i_verified_this_is_pii_tagged,
        log_event,
        log_event_async,
        not_code_or_path,
    )
    from byline.runtime.features import (
        configure_features,
        feature_details,
        feature_value_cached_may_be_stale,
        on_feature_refresh,
    )
    from byline.runtime.instrumenting import instrument, uninstrument
    from byline.runtime.quota import (
        on_quota_change,
        quota_error,
        quota_notice,
        quota_snapshot,
        quota_warning,
    )
    from byline.runtime.recording import flush_usage, record_usage

__version__ = "0.1.0" if BUILD == "public" else "0.1.0+internal"

__all__ = [
    "AnswerHead",
    "attach_sink",
    "child_env",
    "configure_features",
    "event_sink",
    "feature_details",
    "feature_value_cached_may_be_stale",
    "flush_events",
    "flush_usage",
    "i_verified_this_is_not_code_or_filepaths",
    "i_verified_this_is_pii_tagged",
    "identify",
    "instrument",
    "log_event",
    "log_event_async",
    "not_code_or_path",
    "observe_answers",
    "on_feature_refresh",
    "on_quota_change",
    "quota_error",
    "quota_notice",
    "quota_snapshot",
    "quota_warning",
    "record_usage",
    "uninstrument",
]

_HOMES = {
    "AnswerHead": "answers",
    "attach_sink": "events",
    "child_env": "child_env",
    "configure_features": "features",
    "event_sink": "events",
    "feature_details": "features",
    "feature_value_cached_may_be_stale": "features",
    "flush_events": "events",
    "flush_usage": "recording",
    "i_verified_this_is_not_code_or_filepaths": "events",
    "i_verified_this_is_pii_tagged": "events",
    "identify": "current",
    "instrument": "instrumenting",
    "log_event": "events",
    "log_event_async": "events",
    "not_code_or_path": "events",
    "observe_answers": "answers",
    "on_feature_refresh": "features",
    "on_quota_change": "quota",
    "quota_error": "quota",
    "quota_notice": "quota",
    "quota_snapshot": "quota",
    "quota_warning": "quota",
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
