"""The ledger process: moves the journal into the store it owns and answers questions about it.

The caller opens the store and says how to price and deliver; nothing here knows an engine.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Final

from byline.usage.journal import Drainer, DrainOptions
from byline.usage.journal.delivery import Deliver
from byline.usage.ledger import Ledger, Reprice
from byline.usage.ledger_socket.server import LedgerServer
from byline.usage.record import UsageRecord

Beside = Callable[[Drainer], AbstractContextManager[object]]
_RETIREMENT_INTERVAL_S: Final = 3600.0
_log = logging.getLogger("byline.ledger")


def run(
    ledger: Ledger,
    *,
    journal: Path,
    socket: Path,
    price: Callable[[UsageRecord], None] | None = None,
    reprice: Reprice | None = None,
    retention_s: float | None = None,
    options: DrainOptions | None = None,
    beside: Beside = nullcontext,
    stop: threading.Event | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Works until SIGTERM, SIGINT or `stop`, then drains once more. Closes the ledger.

    `price` fills in the cost columns of a row in place. Rows older than `retention_s` become daily
    sums; None keeps them. `beside` runs as long as the drainer does, and may read its state. Signals
    are taken in the main thread only.
    """
    stop = stop or _stop_on_signal()
    drainer = Drainer(journal, deliver_to(ledger), prepare=price, options=options)
    server = LedgerServer(socket, ledger, reprice, ledger.forget)
    retiring = threading.Thread(
        target=_retire_hourly, args=(stop, ledger, retention_s), name="ledger-retention"
    )
    retiring.start()
    try:
        with beside(drainer):
            if ready:
                ready()
            _drain_until(stop, drainer)
    finally:
        stop.set()
        retiring.join()
        server.close()
        ledger.close()


def deliver_to(ledger: Ledger) -> Deliver:
    """What a Drainer calls with each batch."""

    def deliver(rows: list[UsageRecord], events: list[dict[str, Any]]) -> None:
        ledger.insert_usage(rows)
        ledger.insert_events(events)

    return deliver


def _drain_until(stop: threading.Event, drainer: Drainer) -> None:
    while not stop.is_set():
        stop.wait(drainer.step())
    try:
        while drainer.advance():
            pass
    except Exception as error:  # noqa: BLE001 - the journal keeps what the store didn't take
        _log.warning("stopped before the journal was empty: %s", error)


def _retire_hourly(stop: threading.Event, ledger: Ledger, retention_s: float | None) -> None:
    while retention_s is not None and not stop.wait(_RETIREMENT_INTERVAL_S):
        try:
            retired = ledger.retire(datetime.now(UTC) - timedelta(seconds=retention_s))
        except Exception:  # noqa: BLE001 - tried again in an hour; serving goes on
            _log.exception("rows past retention stay for now")
        else:
            if retired:
                _log.info("%d rows past retention are daily sums now", retired)


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal.signal wants it
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop
