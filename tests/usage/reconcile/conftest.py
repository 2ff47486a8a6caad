"""Reports in the shape that the providers document, with figures of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

Result = Mapping[str, Any]
Day = tuple[str, list[Result]]


class Shapes:
    """Builds answers of the admin APIs; what a test leaves out is zero or null."""

    def anthropic_usage(self, *days: Day, next_page: str | None = None) -> dict[str, Any]:
        common: Result = {
            "account_id": None, "api_key_id": None, "workspace_id": None, "context_window": None,
            "inference_geo": None, "model": "claude-sonnet-4-5-20250929", "service_tier": "standard",
            "uncached_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0,
            "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
            "server_tool_use": {"web_search_requests": 0},
        }  # fmt: skip
        return _anthropic(days, common, next_page)

    def anthropic_costs(self, *days: Day) -> dict[str, Any]:
        common: Result = {
            "currency": "USD", "cost_type": "tokens", "context_window": "0-200k", "service_tier": "standard",
            "description": "Claude Sonnet 4.5 Usage - Input Tokens", "token_type": "uncached_input_tokens",
            "model": "claude-sonnet-4-5-20250929", "workspace_id": None,
        }  # fmt: skip
        return _anthropic(days, common, None)

    def openai(self, kind: str, *days: tuple[int, list[Result]]) -> dict[str, Any]:
        """`kind`: `usage.completions` or `costs`; days by the Unix time of their start."""
        common: Result = {
            "object": f"organization.{kind}.result",
            "project_id": None,
            "user_id": None,
            "api_key_id": None,
        }
        data = [
            {
                "object": "bucket",
                "start_time": start,
                "end_time": start + 86_400,
                "results": [{**common, **one} for one in results],
            }
            for start, results in days
        ]
        return {"object": "page", "data": data, "has_more": False, "next_page": None}


def _anthropic(days: tuple[Day, ...], common: Result, next_page: str | None) -> dict[str, Any]:
    data = [
        {
            "starting_at": f"{day}T00:00:00Z",
            "ending_at": f"{day}T23:59:59Z",
            "results": [{**common, **one} for one in results],
        }
        for day, results in days
    ]
    return {"data": data, "has_more": next_page is not None, "next_page": next_page}


@pytest.fixture
def shapes() -> Shapes:
    return Shapes()
