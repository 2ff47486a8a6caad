"""Starts `byline serve` on a fresh data directory and asks its ledger what was recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.ports import free_port
from benchmarks.processes import descendants, has_open, listens_on, pin, yield_to_others
from benchmarks.provider import CREDENTIAL

BYLINE = (sys.executable, "-m", "byline.cli")
LOG = "serve.log"
CREDENTIAL_VARIABLE = "BENCHMARK_PROVIDER_KEY"
CONFIG = """
data_dir = "{data_dir}"
[gateway]
port = {port}
[console]
port = {console_port}
[log]
level = "warning"
[providers.anthropic]
base_url = "http://127.0.0.1:{upstream_port}"
api_key_env = "{variable}"
"""


class CommandFailedError(RuntimeError):
    """A `byline` command ended with an error; the message is what it printed."""


class Recorded(msgspec.Struct, frozen=True):
    rows: int
    ids: int
    complete: int
    """Rows with outcome `ok`, complete usage and a price."""
    output_tokens: int
    provider_request_ids: int
    """Distinct ones: the provider gives every request its own."""
    identifiers: int
    identifier: str | None
    stamped: str | None


RECORDED = """
select count(*) as rows, count(distinct request_id) as ids,
  count(*) filter (outcome = 'ok' and usage_complete and cost_status = 'priced') as complete,
  coalesce(sum(output_tokens), 0)::bigint as output_tokens,
  count(distinct upstream_request_id) as provider_request_ids, count(distinct metadata_user_id) as identifiers,
  any_value(identifier) as identifier, any_value(metadata_user_id) as stamped
from api_usage where outcome <> 'rejected'
"""


@dataclass(slots=True)
class Gateway:
    prepared: Prepared
    process: subprocess.Popen[bytes]

    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Raises with the end of its log if `byline serve` does not come up."""
        deadline = time.monotonic() + timeout_s
        while not _is_ready(self.prepared.port):
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                state = (
                    f"ended with {self.process.returncode}"
                    if ended
                    else f"is not ready after {timeout_s:.0f} s"
                )
                raise RuntimeError(f"byline serve {state}:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self) -> str:
        return (self.prepared.directory / LOG).read_text()[-2000:]

    def family(self) -> list[int]:
        return [self.process.pid, *descendants(self.process.pid)]

    def workers(self) -> list[int]:
        """Who holds a listening socket on the gateway's port, the supervisor aside."""
        return [pid for pid in descendants(self.process.pid) if listens_on(pid, self.prepared.port)]

    def ledger_processes(self) -> list[int]:
        """Who has the ledger's file open: one, or none while it restarts."""
        return [pid for pid in descendants(self.process.pid) if has_open(pid, self.prepared.ledger)]

    def pinned(self, *, worker_core: int) -> tuple[int, tuple[int, ...]]:
        """Moves the one worker to its core; returns its pid and those of supervisor and ledger process.

        The others stay behind generator and provider, whose core they share: rows may wait.
        """
        (worker,) = self.workers()
        others = tuple(pid for pid in self.family() if pid != worker)
        pin(worker, worker_core)
        for pid in others:
            yield_to_others(pid)
        return worker, others

    def sql(self, query: str) -> list[dict[str, object]]:
        output = byline(self.prepared.config, "sql", query, "--format", "json")
        return msgspec.json.decode(output, type=list[dict[str, object]])

    def recorded(self, *, expected: int, timeout_s: float = 120) -> Recorded:
        """What the ledger holds, as soon as it holds `expected` rows, or at the end of the wait."""
        deadline = time.monotonic() + timeout_s
        while True:
            late = time.monotonic() > deadline
            try:
                found = msgspec.convert(self.sql(RECORDED)[0], Recorded, strict=False)
            except CommandFailedError:
                if late:
                    raise
                continue  # the command itself has waited for the ledger process
            if found.rows >= expected or late:
                return found
            time.sleep(0.5)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=60)


def byline(config: Path, *words: str) -> bytes:
    command = [*BYLINE, *words, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise CommandFailedError(f"byline {words[0]} failed: {done.stderr.decode().strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configured data directory with one key; the provider's port is still open."""

    directory: Path
    port: int
    console_port: int
    key: str
    extra: str

    @property
    def config(self) -> Path:
        return self.directory / "byline.toml"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def ledger(self) -> Path:
        return self.data_dir / "ledger.duckdb"

    def point_at(self, upstream_port: int) -> None:
        _write_config(self.config, self.port, self.console_port, upstream_port, self.extra)


def prepare(directory: Path, *, user: str = "bench", extra: str = "") -> Prepared:
    directory.mkdir(parents=True, exist_ok=True)
    config, port, console_port, discard_port = directory / "byline.toml", free_port(), free_port(), 9
    _write_config(config, port, console_port, discard_port, extra)
    created = byline(config, "keys", "create", "--user", user, "--format", "json")
    key = str(msgspec.json.decode(created, type=dict[str, object])["key"])
    return Prepared(directory, port, console_port, key, extra)


def _write_config(config: Path, port: int, console_port: int, upstream_port: int, extra: str) -> None:
    text = CONFIG.format(
        data_dir=config.parent / "data",
        port=port,
        console_port=console_port,
        upstream_port=upstream_port,
        variable=CREDENTIAL_VARIABLE,
    )
    config.write_text(text + extra)


def start(config: Path, *, core: int | None = None) -> subprocess.Popen[bytes]:
    placed = [] if core is None else ["taskset", "-c", str(core)]
    command = [*placed, *BYLINE, "serve", "--config", str(config)]
    with (config.parent / LOG).open("ab") as log:
        return subprocess.Popen(
            command, env={**os.environ, CREDENTIAL_VARIABLE: CREDENTIAL}, stdout=log, stderr=log
        )


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:  # URLError and HTTPError among them
        return False


@contextmanager
def gateway(prepared: Prepared, *, core: int | None = None) -> Generator[Gateway]:
    """A gateway whose processes all start on `core`; the caller may pin the worker elsewhere."""
    process = start(prepared.config, core=core)
    running = Gateway(prepared, process)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if process.poll() is None:
            running.stop()
