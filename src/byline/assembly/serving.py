"""The processes of `byline serve`: a supervisor, its workers, the ledger process."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from byline.assembly.authentication import build_authenticator
from byline.assembly.budgets import check_budgets
from byline.assembly.data_dir import DataDir, open_data_dir
from byline.assembly.flags import following_log_level
from byline.assembly.gateway import run_worker
from byline.assembly.ledger import run_ledger
from byline.assembly.logs import set_up_logging
from byline.assembly.providers import build_providers, choose_hash_key
from byline.control.database import open_control
from byline.control.directory import KeyDirectory
from byline.gateway import open_files
from byline.gateway.child import ChildPlan
from byline.gateway.listener import bind, port_of, reserve
from byline.gateway.supervised import Supervised
from byline.gateway.supervisor import Supervisor
from byline.settings import Settings
from byline.usage.data_lock import lock_for_serving

log = logging.getLogger("byline.serve")
WORKER = "worker"
LEDGER = "ledger"
_STOP_GRACE_S = 5.0
_LEDGER_STOP_TIMEOUT_S = 60.0


def serve(
    settings: Settings, environ: Mapping[str, str], config: Path | None, announce: Callable[[str], None]
) -> int:
    """Until SIGTERM or SIGINT; returns the exit code. `announce` gets the line that says where.

    Raises SettingsError, LedgerUnavailable where another server has the data directory, and OSError
    where the port can't be had.
    """
    set_up_logging(settings, "serve")
    _raise_limits(settings)
    data_dir = open_data_dir(settings)
    lock = lock_for_serving(data_dir.root / "lock", "byline serve")
    reserved = reserve(settings.gateway.host, settings.gateway.port)
    try:
        _check(settings, environ, data_dir)
        port = port_of(reserved)
        supervisor = Supervisor(
            _plans(settings, config),
            environ={**environ, "BYLINE_GATEWAY__PORT": str(port)},
            on_ready=lambda: announce(_announcement(settings, port, data_dir)),
            held_fds=[lock.fileno()],
        )
        with following_log_level(settings, environ, data_dir):
            return supervisor.run()
    finally:
        reserved.close()
        lock.close()


def run_part(part: str, settings: Settings, environ: MutableMapping[str, str]) -> None:
    """One supervised process: `ledger`, or `workerN`."""
    supervised = Supervised.attach(environ)
    set_up_logging(settings, part)
    if part == LEDGER:
        with following_log_level(settings, environ, open_data_dir(settings)):
            run_ledger(settings, ready=supervised.ready)
        return
    with _listener(settings) as listener:
        number = int(part.removeprefix(WORKER))
        run_worker(settings, environ, number=number, listener=listener, ready=supervised.ready)


def _listener(settings: Settings) -> socket.socket:
    return bind(settings.gateway.host, settings.gateway.port)


def _raise_limits(settings: Settings) -> None:
    """For this process and those it starts."""
    if shortage := open_files.shortage(open_files.raise_limit(), settings.gateway.max_connections):
        log.warning("%s: %s", shortage, open_files.REMEDY)


def _check(settings: Settings, environ: Mapping[str, str], data_dir: DataDir) -> None:
    """What can never work is said once, here, instead of by every child in turn."""
    with open_control(data_dir.control) as control:
        hash_key = choose_hash_key(settings, environ, control)
    check_budgets(settings, data_dir.control)
    for provider in build_providers(settings, environ, hash_key, time.monotonic):
        missing = provider.credentials.default.missing_env
        if missing:
            log.warning(
                "no key for %s: set %s, or only callers with their own key are served", provider.name, missing
            )
    build_authenticator(settings, KeyDirectory(data_dir.control, max_stale_s=settings.keys.max_stale))


def _plans(settings: Settings, config: Path | None) -> list[list[ChildPlan]]:
    """Workers stop first, so that the ledger process drains all they wrote."""
    workers = [
        ChildPlan(
            f"{WORKER}{number}",
            _argv(f"{WORKER}{number}", config),
            settings.gateway.shutdown_timeout + _STOP_GRACE_S,
        )
        for number in range(settings.gateway.workers)
    ]
    return [workers, [ChildPlan(LEDGER, _argv(LEDGER, config), _LEDGER_STOP_TIMEOUT_S)]]


def _argv(part: str, config: Path | None) -> list[str]:
    argv = [sys.executable, "-m", "byline.cli", "serve", "--part", part]
    return [*argv, "--config", os.fspath(config)] if config else argv


def _announcement(settings: Settings, port: int, data_dir: DataDir) -> str:
    scheme = "https" if settings.gateway.tls_cert else "http"
    workers = f"{settings.gateway.workers} worker{'s' if settings.gateway.workers > 1 else ''}"
    return f"byline serves on {scheme}://{settings.gateway.host}:{port} ({workers}, data in {data_dir.root})"
