"""Runs the C provider and reads what it saw."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.native_tools import NativeTools

CREDENTIAL = "sk-provider-credential"
"""What the gateway must send in place of the caller's key."""


class Seen(msgspec.Struct, frozen=True):
    """Counted by the provider over its whole life."""

    requests: int
    streams_ended: int
    aborted: int
    with_user_id: int
    same_user_id: int
    """Requests whose user id equals the first one seen: all of them where one actor is stamped."""
    with_credential: int
    leaked: int
    """Requests in whose head the caller's own key still stood."""
    user_id: str


@dataclass(slots=True)
class Provider:
    process: subprocess.Popen[bytes]
    port: int
    seen: Seen | None = field(default=None)

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> Seen:
        self.process.terminate()
        output, _ = self.process.communicate(timeout=10)
        self.seen = msgspec.json.decode(output, type=Seen)
        return self.seen


@contextmanager
def provider(
    tools: NativeTools,
    *,
    core: int | None = None,
    events: int = 0,
    gap_us: int = 10_000,
    forbidden: str = "",
    markers: Path | None = None,
) -> Generator[Provider]:
    command = [] if core is None else ["taskset", "-c", str(core)]
    command += [str(tools.provider), "--credential", CREDENTIAL]
    command += ["--events", str(events), "--gap-us", str(gap_us)]
    command += ["--forbidden", forbidden] if forbidden else []
    command += ["--markers", str(markers)] if markers else []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield Provider(
                process, msgspec.json.decode(process.stdout.readline(), type=dict[str, int])["port"]
            )
        finally:
            process.kill()
