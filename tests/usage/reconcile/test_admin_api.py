from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from byline.usage.reconcile.admin_api import AdminApi, AdminApiError

SINCE, UNTIL = datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 12, tzinfo=UTC)
EMPTY = {"data": [], "has_more": False, "next_page": None}
Answer = tuple[int, dict[str, str], Any]


class Provider:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[str, dict[str, list[str]]], Answer] = lambda path, query: (200, {}, EMPTY)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                provider.asked.append((parts.path, query))
                provider.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, body = provider.answer(parts.path, query)
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    with provider.server:
        thread = threading.Thread(target=provider.server.serve_forever)
        thread.start()
        yield provider
        provider.server.shutdown()
        thread.join()


def test_anthropic_is_asked_for_usage_and_costs_by_day(provider: Provider) -> None:
    assert len([*AdminApi("anthropic", provider.url, "sk-ant-admin-1").reports(SINCE, UNTIL)]) == 2
    (usage_path, usage), (costs_path, costs) = provider.asked
    assert usage_path == "/v1/organizations/usage_report/messages"
    assert costs_path == "/v1/organizations/cost_report"
    assert usage["starting_at"] == costs["starting_at"] == ["2026-11-10T00:00:00Z"]
    assert usage["ending_at"] == ["2026-11-12T00:00:00Z"]
    assert (usage["group_by[]"], costs["group_by[]"]) == (["model", "service_tier"], ["description"])
    assert provider.headers[0]["x-api-key"] == "sk-ant-admin-1"
    assert provider.headers[0]["anthropic-version"] == "2023-06-01"


def test_openai_is_asked_for_usage_and_costs_by_day(provider: Provider) -> None:
    assert len([*AdminApi("openai", provider.url, "sk-admin-1").reports(SINCE, UNTIL)]) == 2
    (usage_path, usage), (costs_path, costs) = provider.asked
    assert (usage_path, costs_path) == ("/v1/organization/usage/completions", "/v1/organization/costs")
    assert usage["start_time"] == [str(int(SINCE.timestamp()))]
    assert usage["end_time"] == costs["end_time"] == [str(int(UNTIL.timestamp()))]
    assert costs["group_by[]"] == ["line_item"]
    assert provider.headers[0]["authorization"] == "Bearer sk-admin-1"


def test_every_page_is_fetched(provider: Provider) -> None:
    def pages(path: str, query: dict[str, list[str]]) -> Answer:
        page = int(query.get("page", ["p0"])[0][1:])
        return 200, {}, {"data": [], "has_more": page < 2, "next_page": f"p{page + 1}" if page < 2 else None}

    provider.answer = pages
    assert len([*AdminApi("anthropic", provider.url, "k").reports(SINCE, UNTIL)]) == 6


def test_pages_without_end_are_given_up(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byline.usage.reconcile.admin_api.MAX_PAGES", 3)
    provider.answer = lambda path, query: (200, {}, {"data": [], "has_more": True, "next_page": "again"})
    with pytest.raises(AdminApiError, match="more than 3 pages"):
        list(AdminApi("anthropic", provider.url, "k").reports(SINCE, UNTIL))


def test_a_busy_provider_is_asked_again_when_it_says(provider: Provider) -> None:
    answers = iter([(429, {"retry-after": "7"}, {}), (529, {}, {})])
    provider.answer = lambda path, query: next(answers, (200, {}, EMPTY))
    slept: list[float] = []
    assert len([*AdminApi("anthropic", provider.url, "k", sleep=slept.append).reports(SINCE, UNTIL)]) == 2
    assert slept == [7.0, 4.0]


def test_a_provider_that_stays_busy_is_reported(provider: Provider) -> None:
    provider.answer = lambda path, query: (503, {}, {"error": {"message": "overloaded"}})
    with pytest.raises(AdminApiError, match="503: overloaded"):
        list(AdminApi("openai", provider.url, "k", sleep=lambda _: None).reports(SINCE, UNTIL))


def test_a_refused_key_says_which_kind_of_key_is_wanted_and_not_which_was_sent(provider: Provider) -> None:
    provider.answer = lambda path, query: (401, {}, {"error": {"message": "invalid x-api-key"}})
    with pytest.raises(AdminApiError, match="ANTHROPIC_ADMIN_API_KEY") as refused:
        list(AdminApi("anthropic", provider.url, "sk-secret").reports(SINCE, UNTIL))
    assert "sk-secret" not in str(refused.value)


def test_a_redirect_never_gets_the_key(provider: Provider) -> None:
    provider.answer = lambda path, query: (307, {"location": f"{provider.url}/elsewhere"}, {})
    with pytest.raises(AdminApiError, match="redirects"):
        list(AdminApi("anthropic", provider.url, "k").reports(SINCE, UNTIL))
    assert [path for path, _ in provider.asked] == ["/v1/organizations/usage_report/messages"]


@pytest.mark.parametrize("url", ["http://proxy.example", "ftp://127.0.0.1", "http://10.0.0.1:80"])
def test_a_key_does_not_travel_in_the_open(url: str) -> None:
    with pytest.raises(AdminApiError, match="https only"):
        AdminApi("anthropic", url, "k")


def test_a_provider_out_of_reach_is_named() -> None:
    with pytest.raises(AdminApiError, match=r"127\.0\.0\.1:9 can't be reached"):
        list(AdminApi("anthropic", "http://127.0.0.1:9", "k").reports(SINCE, UNTIL))
