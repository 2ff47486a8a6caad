"""The tables of the control database, as steps from one schema version to the next.

A released step is never edited: what comes later is a further step. `change` holds the change
counter as of the row's last change, so that a reader can fetch what it hasn't seen.
"""

from __future__ import annotations

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE actors (
            id TEXT PRIMARY KEY,
            username TEXT NOT NULL UNIQUE,
            email TEXT,
            team TEXT,
            kind TEXT NOT NULL CHECK (kind IN ('person', 'service')),
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            change INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE keys (
            key_id TEXT PRIMARY KEY,
            secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
            actor_id TEXT NOT NULL REFERENCES actors (id),
            job TEXT,
            may_claim_job INTEGER NOT NULL,
            may_claim_user INTEGER NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            revoked_at REAL,
            last_used_at REAL,
            replaced_by TEXT,
            change INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE jobs (
            name TEXT PRIMARY KEY,
            owner_id TEXT NOT NULL REFERENCES actors (id),
            description TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            change INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX actors_by_change ON actors (change)",
        "CREATE INDEX keys_by_change ON keys (change)",
        "CREATE INDEX keys_by_actor ON keys (actor_id)",
        "CREATE INDEX jobs_by_change ON jobs (change)",
    ),
    (
        """
        CREATE TABLE budgets (
            scope TEXT NOT NULL,
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            amount INTEGER NOT NULL,
            models TEXT NOT NULL,
            mode TEXT NOT NULL CHECK (mode IN ('hard', 'soft', 'shadow')),
            contact TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            change INTEGER NOT NULL,
            PRIMARY KEY (scope, name, kind)
        ) WITHOUT ROWID
        """,
    ),
)
"""Step N leads from version N to N + 1. Version 0 has the `meta` table alone."""

META_TABLE = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID"
