"""Programs of GrowthBook's own, run by node. `.ci/run` installs them; without them the tests are skipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(os.environ.get("BYLINE_TEST_NODE_MODULES", ""))
HERE = Path(__file__).parent
needs_growthbook_js = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "@growthbook").is_dir(),
    reason="GrowthBook's JavaScript packages are not installed (BYLINE_TEST_NODE_MODULES)",
)


def node_environ(**more: str) -> dict[str, str]:
    return {**os.environ, "NODE_PATH": str(MODULES), **more}


@contextmanager
def remote_evaluator(payloads: dict[str, Any]) -> Generator[str]:
    """The address of an official evaluator that has these payloads, by client key."""
    command = ["node", str(HERE / "remote_evaluator.cjs")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=node_environ(PAYLOADS=json.dumps(payloads))
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
