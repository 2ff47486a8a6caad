"""Puts what a Meter has read onto a row."""

from __future__ import annotations

import msgspec

from byline.apis.api import Reading
from byline.usage.record import UsageRecord


def fill_usage(record: UsageRecord, reading: Reading) -> None:
    record.usage_complete = reading.complete
    if reading.error_type is not None:
        record.error_type = reading.error_type
    if reading.raw_usage is not None:
        record.raw_usage = msgspec.Raw(reading.raw_usage)
    record.response_id = reading.response_id
    record.model_reported = reading.model_reported
    record.finish_reason = reading.finish_reason
    record.input_tokens = reading.input_tokens
    record.input_uncached_tokens = reading.input_uncached_tokens
    record.cache_read_tokens = reading.cache_read_tokens
    record.cache_write_tokens = reading.cache_write_tokens
    record.cache_write_5m_tokens = reading.cache_write_5m_tokens
    record.cache_write_1h_tokens = reading.cache_write_1h_tokens
    record.output_tokens = reading.output_tokens
    record.reasoning_tokens = reading.reasoning_tokens
    record.web_search_requests = reading.web_search_requests
    record.iterations = reading.iterations
    record.service_tier = reading.service_tier
    record.speed = reading.speed
    record.inference_geo = reading.inference_geo
