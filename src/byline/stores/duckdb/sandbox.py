"""What people may run through `byline sql`: one SELECT over the general views.

Three walls, each enough for most of it: the parsed statement may hold only known kinds of nodes, known
tables and known table functions; it runs in a read-only transaction; and the instance has no access to
other files, extensions or settings. The first also keeps privileged columns out of sight. The type of
a statement alone proves nothing: `WITH a AS (INSERT ...) SELECT` is a SELECT to DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast

import duckdb
import msgspec

from byline.usage.ledger import QueryError

VIEWS: Final = ("api_usage", "api_events", "api_usage_daily")
_TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series"})
_NODES: Final = frozenset(
    {
        "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
        "BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION", "SHOW_REF", "PIVOT",
    }
)  # fmt: skip
_PARTS: Final = re.compile(
    r"(ORDER|LIMIT|LIMIT_PERCENT|DISTINCT)_MODIFIER|ORDER_DEFAULT|ASCENDING|DESCENDING|[A-Z]+_TYPE_INFO"
)
"""Node types inside queries that name neither a table nor an action."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ONLY: Final = f"only one SELECT over {', '.join(VIEWS)} is allowed"


def check(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Raises QueryError for everything but one harmless SELECT."""
    statements = connection.extract_statements(text)
    if not statements:
        raise QueryError(
            "the query is empty: write one such as SELECT user, cost_usd FROM api_usage LIMIT 10"
        )
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError(f"{_ONLY}; this is {_described(statements)}")
    tree = _syntax_tree(connection, text)
    names = _cte_names(tree)
    for node in _nodes(tree):
        _check_node(node, names)


def _described(statements: list[duckdb.Statement]) -> str:
    if len(statements) == 1:
        return f"a statement of type {statements[0].type.name}"
    return f"{len(statements)} statements"


def _syntax_tree(connection: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    row = connection.execute(
        "SELECT json_serialize_sql($text::VARCHAR, skip_null := true, skip_empty := true)", {"text": text}
    ).fetchone()
    assert row
    tree = msgspec.json.decode(row[0], type=dict[str, Any])
    if tree.get("error"):
        raise QueryError(f"{_ONLY}: {tree.get('error_message')}")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree that has a type, expressions left out (their children not)."""
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            fields = cast("dict[str, Any]", item)
            if isinstance(fields.get("type"), str) and "class" not in fields:
                yield fields
            pending.extend(fields.values())
        elif isinstance(item, list):
            pending.extend(cast("list[Any]", item))


def _cte_names(tree: dict[str, Any]) -> frozenset[str]:
    names = {
        str(entry["key"]).lower()
        for node in _nodes(tree)
        for entry in cast("dict[str, Any]", node.get("cte_map") or {}).get("map", ())
    }
    for name in names:
        # DuckDB takes an unknown table's name for a file's.
        if not _PLAIN_NAME.fullmatch(name):
            raise QueryError(f"{name!r} is no plain name for a WITH clause")
    return frozenset(names)


def _check_node(node: dict[str, Any], cte_names: frozenset[str]) -> None:
    kind = node["type"]
    if kind not in _NODES and not _PARTS.fullmatch(kind):
        raise QueryError(f"{_ONLY}: {kind.removesuffix('_NODE').replace('_', ' ').lower()} is not")
    if kind == "BASE_TABLE":
        _check_table(node, cte_names)
    elif kind == "TABLE_FUNCTION":
        _check_function(node)
    elif kind == "SHOW_REF" and "query" not in node:
        raise QueryError(f"{_ONLY}: write DESCRIBE {VIEWS[0]} to see its columns")


def _check_table(node: dict[str, Any], cte_names: frozenset[str]) -> None:
    path = [str(part).lower() for part in node.get("qualified_name", {}).get("path", ())]
    allowed = path[-1:] and path[-1] in VIEWS and path[:-1] in ([], ["main"])
    if not allowed and not (len(path) == 1 and path[0] in cte_names):
        raise QueryError(f"no table {'.'.join(path)!r}: there are {', '.join(VIEWS)}")


def _check_function(node: dict[str, Any]) -> None:
    path = cast("list[str]", node.get("function", {}).get("qualified_name", {}).get("path", ["?"]))
    if len(path) != 1 or path[0].lower() not in _TABLE_FUNCTIONS:
        raise QueryError(
            f"table function {'.'.join(path)!r} is not allowed; {', '.join(sorted(_TABLE_FUNCTIONS))} are"
        )
