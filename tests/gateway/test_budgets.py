"""Budgets over the wire: refusals in the provider's language, headers of one's own, releases."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.gateway.conftest import Rig, receive_answer, receive_until, request
from tests.gateway.upstream_script import OK, ScriptedUpstream, answer, hang_up
from tests.redis_server import start_redis

from byline.assembly.budget_seeds import read_seeds
from byline.gateway.budgets import BudgetGate

MakeRig = Callable[..., Rig]
BODY = b'{"model":"claude-sonnet-4-6","max_tokens":100,"messages":[]}'
CHAT = b'{"model":"gpt-4o","max_tokens":100,"messages":[]}'
UPSTREAM_QUOTA = (
    b"anthropic-ratelimit-unified-status: allowed\r\nanthropic-ratelimit-requests-remaining: 7\r\n"
    b"retry-after: 3\r\nx-ratelimit-remaining-tokens: 9\r\n"
)


def budget(user: str = "ada", **limits: object) -> dict[str, str]:
    return {
        f"BYLINE_BUDGETS__{user.upper()}__{name.upper()}": str(value)
        for name, value in ({"user": user} | limits).items()
    }


def ask(
    rig: Rig, body: bytes = BODY, path: str = "/v1/messages", **more: str
) -> tuple[int, dict[str, str], dict]:
    with rig.connect() as connection:
        connection.sendall(request(path, body, key=more.pop("key", rig.key), **more))
        head, answered = receive_answer(connection)
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(answered or b"{}")


def usage(input_tokens: int, output_tokens: int, extra: bytes = b"") -> object:
    body = {"id": "m", "type": "message", "model": "claude-sonnet-4-6", "stop_reason": "end_turn",
            "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens}}  # fmt: skip
    return answer(json.dumps(body).encode(), OK + extra)


def test_a_budget_that_cant_be_settled_costs_neither_the_row_nor_the_answer(
    make_rig: MakeRig, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr(BudgetGate, "settle", fail)
    rig = make_rig(**budget(usd_per_week="5"))
    upstream.scripts = [usage(3, 2)]
    status, _, answered = ask(rig)
    assert (status, answered["id"]) == (200, "m")
    (row,) = rig.rows()
    assert (row["outcome"], row["input_tokens"]) == ("ok", 3)


def test_a_refusal_speaks_anthropics_language_and_leaves_a_row(
    make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    rig = make_rig(**budget(usd_per_week="0.0001", contact="finance@example.com"))
    status, headers, body = ask(rig)
    assert status == 429
    assert body["type"] == "error"
    assert body["error"]["type"] == "billing_error"
    for part in ("user ada", "$0.0001 per week", "resets 20", "finance@example.com"):
        assert part in body["error"]["message"]
    assert headers["x-should-retry"] == "false"
    assert 0 < int(headers["retry-after"]) <= 7 * 86_400
    family = {
        name.removeprefix("anthropic-ratelimit-unified-"): value
        for name, value in headers.items()
        if "unified" in name
    }
    reset = family.pop("reset")
    assert abs(int(reset) - time.time() - int(headers["retry-after"])) < 3
    assert family == {
        "status": "rejected", "overage-reset": reset, "overage-utilization": "1.00", "overage-surpassed-threshold": "1",
        "overage-disabled-reason": "org_spend_cap_reached", "overage-period": "weekly",
    }  # fmt: skip
    (row,) = rig.rows()
    assert (row["outcome"], row["error_type"], row["http_status"], row["user"]) == (
        "rejected",
        "budget",
        429,
        "ada",
    )
    assert upstream.seen == []


def test_a_refusal_speaks_openais_language(make_rig: MakeRig) -> None:
    rig = make_rig(**budget(usd_per_day="0.0001"))
    status, headers, body = ask(
        rig, CHAT, "/v1/chat/completions", header="authorization", key=f"Bearer {rig.key}"
    )
    assert (status, body["error"]["type"], body["error"]["code"]) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert headers["x-should-retry"] == "false"
    assert not [name for name in headers if "unified" in name]


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute", "concurrency"])
def test_limits_of_speed_are_rate_limit_errors(limit: str, make_rig: MakeRig) -> None:
    rig = make_rig(**budget(**{limit: 0}))
    status, headers, body = ask(rig)
    assert (status, body["error"]["type"]) == (429, "rate_limit_error")
    assert 0 < int(headers["retry-after"]) <= 60
    assert rig.rows()[0]["error_type"] == "rate_limit"


def test_requests_one_behind_the_other_never_are_two_at_once(make_rig: MakeRig) -> None:
    rig = make_rig(**budget(concurrency=1))
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key) * 3)
        client.shutdown(socket.SHUT_WR)
        got = receive_until(client, b"never")
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert [row["outcome"] for row in rig.rows()] == ["ok"] * 3


def test_a_restart_counts_the_requests_that_were_counted_before_it(
    make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    with socket.socket() as unlistened:  # kept, so that nobody else gets the port meanwhile
        unlistened.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unlistened.getsockname()[1]}"
        rig = make_rig(**budget(requests_per_minute=9), BYLINE_PROVIDERS__OPENAI__BASE_URL=nowhere)
        upstream.scripts = [answer(), hang_up, answer(), hang_up]
        with rig.connect() as client:
            for _ in range(3):  # sent; after a stale connection; after another, and lost
                client.sendall(request(body=BODY, key=rig.key))
                receive_answer(client)
        assert (
            ask(rig, CHAT, "/v1/chat/completions", header="authorization", key=f"Bearer {rig.key}")[0] == 502
        )
        rows = rig.rows()
    assert rig.budgets is not None
    assert rig.budgets.local is not None
    now = time.time()
    (live,) = rig.budgets.local.states(now)
    journal = rig.data_dir / "journal"
    seeds = read_seeds(rig.budgets.gate.book, None, journal, now, lambda _: None)
    # One for each exchange that was sent, however often; the one that found nobody counts nowhere.
    assert sum(seeds.seconds[live.counter].values()) == live.used == 3
    kinds = [None, "stale_connection", None, "stale_connection", "upstream_closed", "connect_error"]
    assert [row.get("error_type") for row in rows] == kinds
    assert [row["overhead_us"] > 0 for row in rows] == [True] * 5 + [False]


def test_a_model_that_is_not_allowed_is_forbidden(make_rig: MakeRig, upstream: ScriptedUpstream) -> None:
    rig = make_rig(**budget(models="claude-haiku-*,gpt-4o"))
    status, _, body = ask(rig)
    assert (status, body["error"]["type"]) == (403, "permission_error")
    assert "claude-haiku-*, gpt-4o" in body["error"]["message"]
    assert ask(rig, BODY.replace(b"sonnet-4-6", b"haiku-4-5"))[0] == 200
    assert len(upstream.seen) == 1


def test_counting_tokens_is_never_held_against_anybody(make_rig: MakeRig) -> None:
    rig = make_rig(**budget(requests_per_minute=0, usd_per_day=0, models="nothing"))
    assert ask(rig, path="/v1/messages/count_tokens")[0] == 200


@pytest.mark.parametrize("mode", ["soft", "shadow"])
def test_soft_and_shadow_budgets_only_count(mode: str, make_rig: MakeRig) -> None:
    rig = make_rig(**budget(mode=mode, usd_per_day="0.0001", requests_per_minute=0, models="none"))
    assert ask(rig)[0] == 200
    assert rig.budgets is not None
    assert rig.budgets.tally[f"budget_over_{mode}"] == 3


@pytest.mark.parametrize(
    ("used", "threshold", "shown"),
    [(0.0, None, "0.00"), (0.76, "0.75", "0.76"), (0.96, "0.95", "0.96"), (1.2, "0.95", "0.99")],
)
def test_answers_carry_the_callers_own_budget_in_place_of_the_upstreams(
    used: float, threshold: str | None, shown: str, make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    rig = make_rig(**budget(mode="soft", usd_per_day=3))
    upstream.scripts = [usage(round(used * 1_000_000), 0, UPSTREAM_QUOTA)]  # type: ignore[list-item]
    ask(rig)
    _, headers, _ = ask(rig)
    family = {
        name.removeprefix("anthropic-ratelimit-unified-"): value
        for name, value in headers.items()
        if "unified" in name
    }
    status = "allowed" if threshold is None else "allowed_warning"
    expected = {
        "status": status,
        "overage-status": status,
        "representative-claim": "overage",
        "overage-utilization": shown,
    }
    if threshold:
        expected["overage-surpassed-threshold"] = threshold
    reset = family.pop("reset")
    assert int(reset) % 86_400 == 0
    assert family == expected | {"overage-reset": reset}
    assert (
        not {"retry-after", "x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-remaining"}
        & headers.keys()
    )


def test_who_has_no_budget_or_brings_the_key_sees_the_upstreams_headers(
    make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    rig = make_rig(**budget(usd_per_day=3))
    upstream.scripts = [usage(10, 10, UPSTREAM_QUOTA)]  # type: ignore[list-item]
    _, headers, _ = ask(rig, key=rig.known_key("bob"))
    assert headers["anthropic-ratelimit-requests-remaining"] == "7"
    _, headers, _ = ask(rig, key="sk-ant-mine", extra=f"x-byline-key: {rig.key}\r\n")
    assert headers["anthropic-ratelimit-requests-remaining"] == "7"
    assert "anthropic-ratelimit-unified-overage-status" not in headers


def test_stripping_is_a_setting(make_rig: MakeRig, upstream: ScriptedUpstream) -> None:
    rig = make_rig(**budget(usd_per_day=3), BYLINE_BUDGETS__STRIP_UPSTREAM_QUOTA="false")
    upstream.scripts = [usage(10, 10, UPSTREAM_QUOTA)]  # type: ignore[list-item]
    assert ask(rig)[1]["anthropic-ratelimit-requests-remaining"] == "7"


def test_settled_money_is_what_the_ledger_will_say(make_rig: MakeRig, upstream: ScriptedUpstream) -> None:
    rig = make_rig(**budget(usd_per_day=3, tokens_per_minute=100_000, requests_per_minute=10, concurrency=2))
    upstream.scripts = [usage(1000, 200)]  # type: ignore[list-item]
    ask(rig)
    assert states(rig) == {
        "usd_per_day:user:ada": (6000, 0), "tokens_per_minute:user:ada": (1200, 0),
        "requests_per_minute:user:ada": (1, 0), "concurrency:user:ada": (0, 0),
    }  # fmt: skip


@pytest.mark.parametrize("script", [hang_up, answer(b'{"type":"error"}', b"HTTP/1.1 500 Oops\r\n")])
def test_failures_of_the_upstream_release_what_was_held(
    script: object, make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    rig = make_rig(**budget(usd_per_day=3, tokens_per_minute=100_000, concurrency=2))
    upstream.scripts = [script]  # type: ignore[list-item]
    assert ask(rig)[0] >= 500
    assert set(states(rig).values()) == {(0, 0)}


def test_an_unreachable_upstream_releases_all_of_it(make_rig: MakeRig) -> None:
    rig = make_rig(
        **budget(usd_per_day=3, requests_per_minute=3),
        BYLINE_PROVIDERS__ANTHROPIC__BASE_URL="http://127.0.0.1:9",
    )
    assert ask(rig)[0] == 502
    assert set(states(rig).values()) == {(0, 0)}


def test_jobs_and_teams_and_everybody_have_sums_of_their_own(make_rig: MakeRig) -> None:
    env = {
        "BYLINE_BUDGETS__N__JOB": "nightly-*", "BYLINE_BUDGETS__N__REQUESTS_PER_MINUTE": "1",
        "BYLINE_BUDGETS__T__TEAM": "core", "BYLINE_BUDGETS__T__REQUESTS_PER_MINUTE": "3",
        "BYLINE_BUDGETS__E__EVERYBODY": "true", "BYLINE_BUDGETS__E__REQUESTS_PER_MINUTE": "4",
    }  # fmt: skip
    rig = make_rig(**env)
    bob = rig.known_key("bob", team="other")
    asked = [
        ("nightly-1", rig.key),
        ("nightly-1", rig.key),
        ("nightly-2", rig.key),
        ("x", rig.key),
        ("y", rig.key),
        ("x", bob),
        ("x", bob),
    ]
    answers = [ask(rig, key=key, extra=f"x-byline-job: {job}\r\n") for job, key in asked]
    assert [status for status, _, _ in answers] == [200, 429, 200, 200, 429, 200, 429]
    said = [body["error"]["message"] for status, _, body in answers if status == 429]
    assert ["job nightly-1" in said[0], "team core" in said[1], "everybody together" in said[2]] == [True] * 3


def test_a_shared_store_admits_settles_and_says_no(make_rig: MakeRig, tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    try:
        rig = make_rig(**budget(requests_per_minute=2, usd_per_day=3), BYLINE_COUNTERS__URL=server.url)
        assert [ask(rig)[0] for _ in range(3)] == [200, 200, 429]
        outcomes = [row["outcome"] for row in rig.rows()]
        assert outcomes == ["ok", "ok", "rejected"]
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("choice", ["fail_open", "fail_closed"])
def test_a_store_that_is_gone_does_what_the_operator_chose(
    choice: str, make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    rig = make_rig(
        **budget(requests_per_minute=2),
        BYLINE_COUNTERS__URL="redis://127.0.0.1:9/0",
        BYLINE_COUNTERS__ON_FAILURE=choice,
    )
    status, headers, body = ask(rig)
    if choice == "fail_open":
        assert (status, len(upstream.seen)) == (200, 1)
        return
    assert (status, body["error"]["type"], upstream.seen) == (429, "billing_error", [])
    family = {name: value for name, value in headers.items() if "unified" in name}
    assert family == {"anthropic-ratelimit-unified-overage-disabled-reason": "fetch_error"}
    assert headers["x-should-retry"] == "false"


def states(rig: Rig) -> dict[str, tuple[int, int]]:
    rig.stop()
    assert rig.budgets is not None
    assert rig.budgets.local is not None
    return {state.counter: (state.used, state.held) for state in rig.budgets.local.states(time.time())}


def test_quota_is_on_the_row_and_kept_per_credential_across_restarts(
    make_rig: MakeRig, upstream: ScriptedUpstream
) -> None:
    rig = make_rig()
    unified = (
        b"anthropic-ratelimit-unified-status: allowed\r\nanthropic-ratelimit-unified-5h-utilization: 0.42\r\n"
    )
    upstream.scripts = [answer(head=OK + unified), answer()]
    ask(rig)
    ask(rig, key="sk-ant-mine", extra=f"x-byline-key: {rig.key}\r\n")
    first, second = rig.rows()
    assert first["quota"] == {"windows": {"five_hour": {"utilization": 0.42, "duration_s": 18_000}}}
    assert "quota" not in second
    kept = msgspec.json.decode((rig.data_dir / "status" / "quota-worker0.json").read_bytes())
    assert [(each["provider"], each["credential"]) for each in kept] == [("anthropic", "default")]
    assert kept[0]["snapshot"]["windows"]["five_hour"]["utilization"] == 0.42


def test_each_limit_counts_what_it_refused_and_what_it_would_have(make_rig: MakeRig) -> None:
    limits = budget(usd_per_week="0.0001") | budget("bob", concurrency=0, mode="shadow")
    rig = make_rig(**limits, **budget("eve", models="gpt-4o"))
    bob, eve = rig.known_key("bob"), rig.known_key("eve")
    assert [ask(rig)[0], ask(rig)[0], ask(rig, key=bob)[0], ask(rig, key=eve)[0]] == [429, 429, 200, 403]
    assert rig.budgets is not None
    gate = rig.budgets.gate
    assert gate.refused == {"usd_per_week:user:ada": 2, "models:user:eve": 1}
    assert gate.over == {"concurrency:user:bob": 1}
