"""What runs beside the ledger in its process: the console, and the status that workers read."""

from __future__ import annotations

import logging
import socket
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from byline.assembly.data_dir import DataDir
from byline.assembly.ledger_status import reporting
from byline.assembly.worker_status import read_statuses
from byline.gateway.listener import port_of, reserve
from byline.settings import Settings
from byline.usage.journal import Drainer

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger("byline.console")


@contextmanager
def beside_the_ledger(settings: Settings, data_dir: DataDir, drainer: Drainer) -> Generator[None]:
    """The ledger goes on without a console where its port can't be had."""
    with ExitStack() as stack:
        stack.enter_context(reporting(data_dir.status / "ledger.json", drainer))
        try:
            listener = reserve(settings.console.host, settings.console.port)
        except OSError as error:
            log.error("no console: %s; correct console.host and console.port", error.strerror)  # noqa: TRY400 - the message says it all
        else:
            stack.enter_context(_console(data_dir, drainer, listener))
            log.info("console on http://%s:%d", settings.console.host, port_of(listener))
        yield


@contextmanager
def _console(data_dir: DataDir, drainer: Drainer, listener: socket.socket) -> Generator[None]:
    from byline.console.app import build_app
    from byline.console.server import serving

    with listener, serving(build_app(partial(collect_metrics, data_dir, drainer)), listener):
        yield


def collect_metrics(data_dir: DataDir, drainer: Drainer) -> Iterable[Metric]:
    """Lag and loss of the journal, worker by worker, and what the ledger took over."""
    yield from _drainer_metrics(drainer)
    yield from _worker_metrics(data_dir)


def _drainer_metrics(drainer: Drainer) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    counters = drainer.counters
    for name, text, value in (
        ("delivered_rows", "Rows the ledger took over.", counters.delivered_rows),
        ("delivered_events", "Events the ledger took over.", counters.delivered_events),
        ("interrupted_rows", "Rows whose worker died before their end.", counters.interrupted_rows),
        ("set_aside_lines", "Journal lines that could not be read, kept aside.", counters.set_aside_lines),
        ("refused_rows", "Rows the store refused, kept aside.", counters.refused_rows),
        ("drain_failures", "Failed deliveries to the store; each is tried again.", counters.failures),
    ):
        yield CounterMetricFamily(f"byline_ledger_{name}", text, value=value)
    yield GaugeMetricFamily(
        "byline_journal_undrained_bytes", "Journal not yet in the ledger.", value=counters.undrained_bytes
    )
    yield GaugeMetricFamily(
        "byline_journal_oldest_undrained_seconds",
        "Age of the oldest row that waits for the ledger.",
        value=counters.oldest_undrained_s,
    )


def _worker_metrics(data_dir: DataDir) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    entries = CounterMetricFamily("byline_journal_entries", "Entries written.", labels=["worker"])
    lost = CounterMetricFamily(
        "byline_journal_lost_entries", "Entries that could not be recorded.", labels=["worker"]
    )
    failures = CounterMetricFamily(
        "byline_journal_write_failures", "Failed writes to the journal.", labels=["worker"]
    )
    draining = GaugeMetricFamily(
        "byline_gateway_draining_streams", "Answers read on after their client went.", labels=["worker"]
    )
    written = GaugeMetricFamily(
        "byline_gateway_status_timestamp_seconds", "When the worker last spoke.", labels=["worker"]
    )
    counts = CounterMetricFamily("byline_gateway_events", "Counts by name.", labels=["worker", "name"])
    for status in read_statuses(data_dir.status):
        worker = [str(status.pid)]
        entries.add_metric(worker, status.journal.entries)
        lost.add_metric(worker, status.journal.lost_entries)
        failures.add_metric(worker, status.journal.write_failures)
        draining.add_metric(worker, status.draining_streams)
        written.add_metric(worker, status.written_at)
        for name, count in status.counts.items():
            counts.add_metric([*worker, name], count)
    yield from (entries, lost, failures, draining, written, counts)
