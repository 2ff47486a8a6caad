"""Budgets as they are kept: plain columns. What they mean is `byline.budgets`' to say.

`StoredBudgets` is a worker's view: it looks whether anything changed, and never fails because of the
database.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from byline.control.database import ControlDatabase, Row, connect

_COLUMNS = "scope, name, kind, amount, models, mode, contact"


class StoredBudget(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of one scope; there is one of each `kind`."""

    scope: str
    name: str
    kind: str
    amount: int
    models: tuple[str, ...] = ()
    mode: str = "hard"
    contact: str | None = None


def put_budget(database: ControlDatabase, budget: StoredBudget) -> None:
    """Adds it, or replaces the one of the same scope, name and kind."""
    with database.change() as change:
        change.connection.execute(
            """
            INSERT INTO budgets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)
            ON CONFLICT (scope, name, kind) DO UPDATE
            SET amount = ?4, models = ?5, mode = ?6, contact = ?7, updated_at = ?8, change = ?9
            """,
            (
                budget.scope, budget.name, budget.kind, budget.amount, "\n".join(budget.models), budget.mode,
                budget.contact, change.at, change.number,
            ),
        )  # fmt: skip


def remove_budgets(
    database: ControlDatabase, scope: str, name: str, kind: str | None = None
) -> list[StoredBudget]:
    """Those of the scope, or the one of that kind; returns what was removed."""
    removed = [
        budget
        for budget in list_budgets(database)
        if (budget.scope, budget.name) == (scope, name) and kind in (None, budget.kind)
    ]
    with database.change() as change:
        for budget in removed:
            change.connection.execute(
                "DELETE FROM budgets WHERE scope = ? AND name = ? AND kind = ?", (scope, name, budget.kind)
            )
    return removed


def list_budgets(database: ControlDatabase) -> list[StoredBudget]:
    return [_from_row(row) for row in database.rows(f"SELECT {_COLUMNS} FROM budgets ORDER BY 1, 2, 3")]  # noqa: S608


class StoredBudgets:
    """Not for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._data_version: int | None = None
        self._known: list[StoredBudget] | None = None

    def news(self) -> list[StoredBudget] | None:
        """All budgets if they are others than at the last call; None if not, or if nobody can tell."""
        try:
            return self._look()
        except (OSError, sqlite3.Error):
            self.close()
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._data_version = None

    def _look(self) -> list[StoredBudget] | None:
        if self._connection is None:
            self._connection = connect(self._path, busy_timeout_s=0)
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return None
        found = [
            _from_row(row)
            for row in self._connection.execute(f"SELECT {_COLUMNS} FROM budgets ORDER BY 1, 2, 3")  # noqa: S608
        ]
        self._data_version = version
        if found == self._known:
            return None
        self._known = found
        return found


def _from_row(row: Row) -> StoredBudget:
    scope, name, kind, amount, models, mode, contact = row
    return StoredBudget(
        scope=scope,
        name=name,
        kind=kind,
        amount=amount,
        models=tuple(filter(None, models.split("\n"))),
        mode=mode,
        contact=contact,
    )
