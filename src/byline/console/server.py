"""Serves the console from a thread of another process's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

STOP_TIMEOUT_S = 5.0


@contextmanager
def serving(app: Starlette, listener: socket.socket) -> Generator[None]:
    """Answers on `listener` until the block ends."""
    server = _Server(
        uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, lifespan="off")
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)


class _Server(uvicorn.Server):
    """Leaves the process's signals to the process."""

    def install_signal_handlers(self) -> None: ...
