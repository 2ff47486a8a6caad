"""Anthropic's `usage` object as disjoint token counts. `input_tokens` there leaves the cache out."""

from __future__ import annotations

import msgspec

from byline.apis import values
from byline.apis.api import Iteration, Reading
from byline.apis.values import Members

_SERVING = ("message", "fallback_message")


class _CacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: values.Count | None = None
    ephemeral_1h_input_tokens: values.Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: values.Count | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: values.Count | None = None


class _Usage(msgspec.Struct, gc=False):
    """The object as documented; what differs from it is read field by field instead."""

    input_tokens: values.Count | None = None
    cache_read_input_tokens: values.Count | None = None
    cache_creation_input_tokens: values.Count | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens: values.Count | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerTools | None = None
    service_tier: values.Text | None = None
    speed: values.Text | None = None
    inference_geo: values.Text | None = None
    iterations: list[msgspec.Raw] | None = None


_usage = msgspec.json.Decoder(_Usage)


def apply_usage(raw: bytes, reading: Reading) -> None:
    """Fills the reading's counts from a `usage` object; a count that it lacks is None."""
    try:
        usage = _usage.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        _apply_members(values.members(raw) or {}, reading)
        return
    if usage.iterations:
        _apply_members(values.members(raw) or {}, reading)
        return
    reading.input_uncached_tokens = usage.input_tokens
    reading.cache_read_tokens = usage.cache_read_input_tokens
    reading.cache_write_tokens = usage.cache_creation_input_tokens
    reading.output_tokens = usage.output_tokens
    writes = usage.cache_creation
    if writes is not None:
        five_minutes, one_hour = writes.ephemeral_5m_input_tokens, writes.ephemeral_1h_input_tokens
        reading.cache_write_5m_tokens, reading.cache_write_1h_tokens = five_minutes, one_hour
        if usage.cache_creation_input_tokens is None:
            reading.cache_write_tokens = _total_writes(None, five_minutes, one_hour)
    if usage.output_tokens_details is not None:
        reading.reasoning_tokens = usage.output_tokens_details.thinking_tokens
    if usage.server_tool_use is not None:
        reading.web_search_requests = usage.server_tool_use.web_search_requests
    reading.service_tier = usage.service_tier
    if usage.speed is not None:
        reading.speed = usage.speed
    if usage.inference_geo is not None:
        reading.inference_geo = usage.inference_geo


def _apply_members(usage: Members, reading: Reading) -> None:
    reading.input_uncached_tokens = values.count(usage.get("input_tokens"))
    reading.cache_read_tokens = values.count(usage.get("cache_read_input_tokens"))
    writes = _cache_writes(usage)
    reading.cache_write_tokens, reading.cache_write_5m_tokens, reading.cache_write_1h_tokens = writes
    reading.output_tokens = values.count(usage.get("output_tokens"))
    details = values.members(usage.get("output_tokens_details")) or {}
    reading.reasoning_tokens = values.count(details.get("thinking_tokens"))
    tools = values.members(usage.get("server_tool_use")) or {}
    reading.web_search_requests = values.count(tools.get("web_search_requests"))
    reading.service_tier = values.text(usage.get("service_tier"))
    reading.speed = values.text(usage.get("speed"))
    reading.inference_geo = values.text(usage.get("inference_geo"))
    reading.iterations = _iterations(usage.get("iterations"), reading)


def _cache_writes(usage: Members) -> tuple[int | None, int | None, int | None]:
    """Total, 5 minutes, 1 hour. Without the total, the sum of the two stands for it."""
    total = values.count(usage.get("cache_creation_input_tokens"))
    by_ttl = values.members(usage.get("cache_creation")) or {}
    five_minutes = values.count(by_ttl.get("ephemeral_5m_input_tokens"))
    one_hour = values.count(by_ttl.get("ephemeral_1h_input_tokens"))
    return _total_writes(total, five_minutes, one_hour), five_minutes, one_hour


def _total_writes(total: int | None, five_minutes: int | None, one_hour: int | None) -> int | None:
    if total is None and (five_minutes is not None or one_hour is not None):
        return (five_minutes or 0) + (one_hour or 0)
    return total


def _iterations(raw: msgspec.Raw | None, totals: Reading) -> list[Iteration] | None:
    entries = [_iteration(fields) for item in values.array(raw) or () if (fields := values.members(item))]
    included = _included(entries, totals)
    for entry in entries:
        entry.in_totals = any(entry is other for other in included)
    return entries or None


def _iteration(fields: Members) -> Iteration:
    total, five_minutes, one_hour = _cache_writes(fields)
    return Iteration(
        type=values.text(fields.get("type")),
        model=values.text(fields.get("model")),
        input_uncached_tokens=values.count(fields.get("input_tokens")),
        cache_read_tokens=values.count(fields.get("cache_read_input_tokens")),
        cache_write_5m_tokens=five_minutes,
        cache_write_1h_tokens=one_hour,
        cache_write_tokens=total,
        output_tokens=values.count(fields.get("output_tokens")),
    )


def _included(entries: list[Iteration], totals: Reading) -> list[Iteration]:
    """The entries that the top-level counts are the sum of.

    Compaction and advisor entries never are; `message` entries are, unless a fallback model took
    over: then the last one is a `fallback_message`, and the `message` entries of the model that
    declined are not. Which ones add up is checked, since counting one twice would be charged twice.
    """
    serving = [entry for entry in entries if entry.type in _SERVING]
    fallback = [entry for entry in serving if entry.type == "fallback_message"]
    if not fallback:
        return serving
    same_model = [entry for entry in serving if entry.model == fallback[-1].model]
    messages = [entry for entry in serving if entry.type == "message"]
    for candidate in (same_model, fallback, messages, serving):
        if _adds_up(candidate, totals):
            return candidate
    return same_model


def _adds_up(entries: list[Iteration], totals: Reading) -> bool:
    return bool(entries) and (
        sum(entry.output_tokens or 0 for entry in entries) == (totals.output_tokens or 0)
        and sum(entry.input_uncached_tokens or 0 for entry in entries) == (totals.input_uncached_tokens or 0)
    )
