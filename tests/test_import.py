"""`import byline` happens inside other people's programs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"asyncio", "duckdb", "httptools", "rich", "ssl", "threading", "typer", "uvloop"}


def test_importing_byline_loads_nothing_heavy():
    # Only what the import itself adds counts: the interpreter's own start may differ.
    code = f"import sys; before = set(sys.modules); import byline; print({HEAVY!r} & (set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
