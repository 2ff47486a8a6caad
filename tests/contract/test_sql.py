"""`byline sql`: one harmless SELECT, bounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from byline.usage.ledger import Ledger, QueryError, QueryTimeout, SqlLimits
from byline.usage.record import UsageRecord

Make = Callable[..., UsageRecord]


def test_a_select_is_answered_with_plain_values(ledger: Ledger, record: Make) -> None:
    at = datetime(2026, 3, 10, 11, 0, 0, 123456, tzinfo=UTC)
    ledger.insert_usage([record(user="ann", started_at=at, cost_usd=Decimal("0.5"), input_tokens=3)])
    table = ledger.sql("SELECT user, started_at, cost_usd, input_tokens FROM api_usage", SqlLimits())
    assert table.columns == ("user", "started_at", "cost_usd", "input_tokens")
    assert table.rows == [("ann", at, Decimal("0.5"), 3)]


@pytest.mark.parametrize(
    "text",
    [
        "WITH a AS (SELECT user FROM api_usage) SELECT count(*) FROM a",
        "SELECT count(*) FROM (SELECT 1) t WHERE EXISTS (SELECT 1)",
        "SELECT 1 UNION ALL SELECT 2 ORDER BY 1 DESC LIMIT 1",
        "SELECT a.user FROM api_usage a LEFT JOIN api_events e ON a.request_id = e.request_id",
        "SELECT user, row_number() OVER (PARTITION BY job ORDER BY started_at) FROM api_usage",
        "SELECT * FROM (VALUES (1), (2)) v(x) WHERE x BETWEEN 1 AND 2 AND x IN (SELECT 1)",
        "SELECT CASE WHEN outcome = 'ok' THEN 1 END, CAST(http_status AS VARCHAR) FROM api_usage",
        "SELECT DISTINCT user FROM api_usage GROUP BY ALL HAVING count(*) > 1;",
    ],
)
def test_ordinary_selects_are_allowed(ledger: Ledger, text: str) -> None:
    ledger.sql(text, SqlLimits())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "SELECT 1; SELECT 2",
        "INSERT INTO api_usage SELECT * FROM api_usage",
        "DELETE FROM api_usage",
        "UPDATE api_usage SET user = 'x'",
        "DROP VIEW api_usage",
        "CREATE TABLE t (x INTEGER)",
        "SELECT no_such_column FROM api_usage",
        "SELECT * FROM no_such_table",
    ],
)
def test_everything_else_is_refused_with_a_reason(ledger: Ledger, text: str) -> None:
    with pytest.raises(QueryError, match=r"\w"):
        ledger.sql(text, SqlLimits())


def test_a_query_that_takes_too_long_is_stopped(ledger: Ledger) -> None:
    endless = (
        "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x > 0) SELECT count(*) FROM r"
    )
    with pytest.raises(QueryTimeout, match=r"0\.2 s"):
        ledger.sql(endless, SqlLimits(timeout_s=0.2))


def test_more_rows_than_allowed_are_an_error_and_not_a_part(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record() for _ in range(3)])
    assert len(ledger.sql("SELECT user FROM api_usage", SqlLimits(max_rows=3)).rows) == 3
    with pytest.raises(QueryError, match="LIMIT"):
        ledger.sql("SELECT user FROM api_usage", SqlLimits(max_rows=2))


def test_larger_answers_than_allowed_are_an_error(ledger: Ledger, record: Make) -> None:
    ledger.insert_usage([record(user="x" * 1000) for _ in range(3)])
    with pytest.raises(QueryError, match="bytes"):
        ledger.sql("SELECT user FROM api_usage", SqlLimits(max_bytes=2000))


def test_the_store_is_whole_after_refusals(ledger: Ledger, record: Make) -> None:
    for text in ("DELETE FROM api_usage", "SELECT 1; DELETE FROM api_usage", "SELECT no_such_column"):
        with pytest.raises(QueryError):
            ledger.sql(text, SqlLimits())
    assert ledger.insert_usage([record()]) == 1
