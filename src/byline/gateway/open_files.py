"""How many files a process may have open, and how many connections that carries.

A worker at the limit can't accept, connect, or begin a journal segment, so it takes no more
connections than leave room for these.
"""

from __future__ import annotations

import resource

FILES_PER_CONNECTION = 2
"""The client's and the provider's."""
OTHER_FILES = 128
"""Journal, control database, logs, listeners, name look-ups."""
REMEDY = "raise the limit (LimitNOFILE= in systemd, nofile in limits.conf), or lower gateway.max_connections"
WORTH_TELLING = 0.9
"""Of the configured connections; a handful fewer is nothing to warn of."""
_UNLIMITED = 1 << 20
"""Taken for no limit at all, which some systems refuse to set."""


def raise_limit() -> int:
    """The soft limit becomes the hard one where that is allowed. Processes started later inherit it."""
    soft, hard = _limits()
    wanted = _UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            return soft
    return max(soft, wanted)


def limit_in_force() -> int:
    return _limits()[0]


def limit_within_reach() -> int:
    """What `raise_limit` would come to."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def connections_carried(limit: int) -> int:
    return max((limit - OTHER_FILES) // FILES_PER_CONNECTION, 1)


def shortage(limit: int, max_connections: int) -> str | None:
    """What to tell the operator where the limit does not carry the configured connections."""
    carried = connections_carried(limit)
    if carried >= WORTH_TELLING * max_connections:
        return None
    return (
        f"a process may have {limit:,} files open, which carries {carried:,} connections per worker "
        f"and not gateway.max_connections = {max_connections:,}"
    )


def _limits() -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _finite(soft), hard


def _finite(limit: int) -> int:
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit
