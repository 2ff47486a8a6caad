"""Fills a ledger with rows shaped like a company's: made in SQL, since ten million don't fit in memory.

60 days; 2,000 users and 5,000 jobs, few of them busy; 37 teams, 13 models, sessions of some 13 requests
that lie close together in time; every row with ids, quota and raw usage as a real one has them. The
same number of rows gives the same ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from byline.stores.duckdb.connection import DuckDBOptions
from byline.stores.duckdb.ledger import DuckDBLedger
from byline.usage.columns import USAGE_COLUMNS

END: Final = datetime(2026, 6, 1, tzinfo=UTC)
DAYS: Final = 60
BEGINNING: Final = END - timedelta(days=DAYS)
_STEP: Final = 4 * 122_880
"""Whole row groups, as rows that come one batch after the other fill them."""

_DRAWN: Final = """
    SELECT i, h, moment,
        h % 13 AS m,
        floor(2000 * pow((h % 1000003) / 1000003.0, 2))::INT AS u,
        floor(5000 * pow((h // 7 % 1000003) / 1000003.0, 3))::INT AS j,
        200 + (h % 20000) / 1.7 AS ms,
        h % 3000 AS fresh, h // 3 % 40000 AS cached, h // 11 % 2000 AS written, h // 5 % 1500 AS answered,
        h % 200 = 0 AS limited, h % 333 = 0 AS overloaded, h % 400 = 1 AS refused,
        concat('s', i // 40, '-', h % 3) AS session
    FROM (
        SELECT i, (hash(i) >> 1)::BIGINT AS h,
            $beginning::TIMESTAMPTZ + to_microseconds(i * $gap_us::BIGINT) AS moment
        FROM range($first, $last) AS numbers(i)
    )
"""


def _uuid(salt: str, of: str = "i") -> str:
    digest = f"md5(concat('{salt}', {of}))"
    parts = [
        f"substr({digest}, {start}, {length})"
        for start, length in ((1, 8), (9, 4), (14, 3), (17, 4), (21, 12))
    ]
    return f"concat({parts[0]}, '-', {parts[1]}, '-7', {parts[2]}, '-', {parts[3]}, '-', {parts[4]})"


def _hex(salt: str, length: int, prefix: str = "") -> str:
    return f"concat('{prefix}', substr(md5(concat('{salt}', i)), 1, {length}))"


_FAILED: Final = "(limited OR overloaded OR refused)"
_VALUES: Final[dict[str, str]] = {
    "request_id": _uuid("r"),
    "exchange_id": _uuid("x"),
    "attempt": "1",
    "upstream_request_id": f"if(refused, NULL, {_hex('u', 20, 'req_011')})",
    "response_id": f"if({_FAILED}, NULL, {_hex('m', 22, 'msg_01')})",
    "gateway_id": "concat('gateway-', i % 4)",
    "source": "'gateway'",
    "schema_version": "1",
    "started_at": "moment",
    "ended_at": "moment + to_microseconds((ms * 1000)::BIGINT)",
    "duration_ms": "ms",
    "ttft_ms": f"if({_FAILED}, NULL, ms * 0.2)",
    "overhead_us": "30 + i % 20",
    "provider": "if(m < 8, 'anthropic', 'openai')",
    "api": "CASE WHEN m < 8 THEN 'messages' WHEN m < 11 THEN 'responses' ELSE 'chat.completions' END",
    "server_address": "if(m < 8, 'api.anthropic.com', 'api.openai.com')",
    "credential": "CASE WHEN h % 50 = 0 THEN 'client' WHEN h % 3 = 0 THEN 'batch' ELSE 'default' END",
    "model_requested": "concat('model-', m)",
    "model_reported": f"if({_FAILED}, NULL, concat('model-', m, '-20260101'))",
    "streaming": "h % 3 <> 0",
    "http_status": "CASE WHEN refused THEN NULL WHEN limited THEN 429 WHEN overloaded THEN 529 ELSE 200 END",
    "outcome": "CASE WHEN refused THEN 'rejected' WHEN limited OR overloaded THEN 'upstream_error' "
    "WHEN h % 151 = 0 THEN 'client_disconnect' ELSE 'ok' END",
    "finish_reason": f"if({_FAILED}, NULL, 'end_turn')",
    "usage_complete": f"NOT {_FAILED}",
    "error_type": "CASE WHEN limited THEN 'rate_limit_error' WHEN overloaded THEN 'overloaded_error' END",
    "actor_id": "concat('act_', u)",
    "key_id": "concat('key_', u)",
    "auth_source": "'key'",
    "user": "if(h % 40 = 0, NULL, concat('user', u))",
    "email": "if(h % 40 = 0, NULL, concat('user', u, '@example.com'))",
    "team": "concat('team', u % 37)",
    "job": "if(h % 4 = 0, NULL, concat('job-', j))",
    "identifier": "concat('act_', u)",
    "identity_action": "'replaced'",
    "metadata_user_id": "concat('act_', u)",
    "claude_code_session_id": f"if(m < 8, {_uuid('', 'session')}, NULL)",
    "session_id": _uuid("", "session"),
    "device_id": "if(m < 8, md5(concat('d', u)), NULL)",
    "client": "CASE WHEN m < 8 THEN concat('claude-cli/2.1.', h % 30) WHEN m < 11 THEN concat('codex/0.', h % 9) "
    "ELSE concat('openai-python/3.', h % 7) END",
    "retry_count": "0",
    "input_tokens": f"if({_FAILED}, NULL, fresh + cached + written)",
    "input_uncached_tokens": f"if({_FAILED}, NULL, fresh)",
    "cache_read_tokens": f"if({_FAILED}, NULL, cached)",
    "cache_write_tokens": f"if({_FAILED}, NULL, written)",
    "cache_write_5m_tokens": f"if({_FAILED}, NULL, written)",
    "cache_write_1h_tokens": f"if({_FAILED} OR m >= 8, NULL, 0)",
    "output_tokens": f"if({_FAILED}, NULL, answered)",
    "reasoning_tokens": f"if({_FAILED}, NULL, answered // 3)",
    "service_tier": "'standard'",
    "cost_usd": f"if({_FAILED} OR h % 500 = 0, NULL, "
    "(fresh * 3000 + cached * 300 + written * 3750 + answered * 15000)::DECIMAL(18, 0) * 0.000000001)",
    "cost_status": f"CASE WHEN {_FAILED} THEN 'no_usage' WHEN h % 500 = 0 THEN 'unknown_model' ELSE 'priced' END",
    "price_version": "'2026-05-01'",
    "quota": """concat('{"windows":{"requests":{"limit":4000,"remaining":', h % 4000,
        '},"tokens":{"limit":2000000,"remaining":', h % 2000000, '}}}')""",
    "trace_id": _hex("t", 32),
    "span_id": _hex("p", 16),
    "trace_sampled": "true",
    "raw_usage": f"""if({_FAILED}, NULL, concat('{{"input_tokens":', fresh, ',"cache_read_input_tokens":', cached,
        ',"cache_creation_input_tokens":', written, ',"output_tokens":', answered, ',"service_tier":"standard"}}'))""",
}


def fill(path: Path, count: int, progress: Callable[[float], None]) -> None:
    """Makes the ledger at `path`, which must not exist, with `count` rows in the order of time."""
    DuckDBLedger(DuckDBOptions(path=path)).close()
    columns = ", ".join(f'"{name}"' for name in USAGE_COLUMNS)
    values = ", ".join(_VALUES.get(name, "NULL") for name in USAGE_COLUMNS)
    with duckdb.connect(str(path), config={"memory_limit": "1GB", "threads": 2}) as connection:
        for first in range(0, count, _STEP):
            connection.execute(
                f"INSERT INTO store.api_usage ({columns}) SELECT {values} FROM ({_DRAWN})",
                _drawn(count, first, min(first + _STEP, count)),
            ).fetchall()
            progress(min(first + _STEP, count) / count)
        connection.execute("CHECKPOINT").fetchall()


class Facts(msgspec.Struct, frozen=True):
    """What is true of so many rows, added up as they are drawn: without a ledger, and without its reports."""

    requests: int
    rejected: int
    with_user: int
    with_job: int
    ok: int
    not_ok: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal
    """Without what clients' own credentials paid."""


_FACTS: Final[dict[str, str]] = {
    "requests": "count(*) FILTER (NOT refused)",
    "rejected": "count(*) FILTER (refused)",
    "with_user": "count(*) FILTER (NOT refused AND h % 40 <> 0)",
    "with_job": "count(*) FILTER (NOT refused AND h % 4 <> 0)",
    "ok": f"count(*) FILTER (NOT {_FAILED} AND h % 151 <> 0)",
    "not_ok": f"count(*) FILTER ({_FAILED} OR h % 151 = 0)",
    "input_tokens": f"sum(fresh + cached + written) FILTER (NOT {_FAILED})",
    "output_tokens": f"sum(answered) FILTER (NOT {_FAILED})",
    "cache_read_tokens": f"sum(cached) FILTER (NOT {_FAILED})",
    "cache_write_tokens": f"sum(written) FILTER (NOT {_FAILED})",
    # In billionths of a dollar, as whole numbers.
    "cost_usd": "sum(fresh * 3000 + cached * 300 + written * 3750 + answered * 15000) "
    f"FILTER (NOT {_FAILED} AND h % 500 <> 0 AND h % 50 <> 0)",
}


def facts(count: int) -> Facts:
    with duckdb.connect(config={"threads": 2}) as connection:
        row = connection.execute(
            f"SELECT {', '.join(_FACTS.values())} FROM ({_DRAWN})", _drawn(count, 0, count)
        ).fetchone()
    assert row
    found: dict[str, Any] = {name: int(value) for name, value in zip(_FACTS, row, strict=True)}
    return msgspec.convert(found | {"cost_usd": Decimal(found["cost_usd"]).scaleb(-9)}, Facts)


def _drawn(count: int, first: int, last: int) -> dict[str, Any]:
    """The values that `_DRAWN` binds."""
    gap_us = DAYS * 86_400 * 1_000_000 // count
    return {"beginning": BEGINNING, "gap_us": gap_us, "first": first, "last": last}
