"""Settings -> one gateway worker, and its run."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial

import uvloop

from byline.assembly.authentication import build_authenticator
from byline.assembly.budgets import WorkerBudgets
from byline.assembly.data_dir import DataDir, open_data_dir
from byline.assembly.events import gateway_rows
from byline.assembly.flags import SteeredParts, open_features, serves_features, steer_worker
from byline.assembly.ledger_status import LedgerWatch
from byline.assembly.providers import build_providers, choose_hash_key
from byline.assembly.worker_status import StatusFile
from byline.control.database import open_control
from byline.control.directory import KeyDirectory
from byline.flags.snapshot import Exposure
from byline.gateway import open_files
from byline.gateway.admission import Admitter
from byline.gateway.attempt_row import Surroundings
from byline.gateway.callers import HeadMemory
from byline.gateway.client import ClientLimits
from byline.gateway.drains import DrainLimits, Drains
from byline.gateway.endpoints import Endpoints
from byline.gateway.exchange import Clock, Tally
from byline.gateway.feature_evaluation import RequestFeatures
from byline.gateway.feature_routes import FeatureRoutes
from byline.gateway.forwarding import Forwarder
from byline.gateway.http1.request_head import RequestHeadReader
from byline.gateway.intake import Intake
from byline.gateway.local_routes import LocalRoutes
from byline.gateway.own_events import OwnEvents
from byline.gateway.pipeline import Pipeline
from byline.gateway.quota import QuotaWatch, read_kept
from byline.gateway.readiness import WorkerReadiness
from byline.gateway.recognition import Recognizer
from byline.gateway.routes import Routes
from byline.gateway.turn import Turn
from byline.gateway.unsent import Unsent
from byline.gateway.uploads import UploadLimits, Uploads
from byline.gateway.worker import Periodic, Worker, WorkerOptions
from byline.gateway.worker_events import INTERVAL_S, WorkerEvents
from byline.settings import Settings, SettingsError
from byline.usage.journal import JournalOptions, JournalWriter, new_writer_id

CLOCK = Clock(wall=time.time, monotonic=time.monotonic)
FLUSH_USES_INTERVAL_S = 10.0
STATUS_INTERVAL_S = 1.0


def run_worker(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    number: int,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Serves until SIGTERM. Raises SettingsError for a configuration that can't work."""
    _keep_large_buffers()
    uvloop.run(_run(settings, environ, number, listener, ready))


def _keep_large_buffers() -> None:
    """glibc would give the memory of each large body back to the kernel, and ask for it again with the
    next one: at low concurrency three times the CPU of a 200 KB request. Options of mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for option, size in (
        (-1, 256 << 20),
        (-2, 16 << 20),
        (-3, 64 << 20),
    ):  # TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD
        mallopt(option, size)


async def _run(
    settings: Settings,
    environ: Mapping[str, str],
    number: int,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    data_dir = open_data_dir(settings)
    turn = Turn(asyncio.get_running_loop().call_soon, CLOCK)
    journal = open_journal(settings, data_dir, number, turn)
    directory = KeyDirectory(data_dir.control, max_stale_s=settings.keys.max_stale)
    directory.refresh_if_changed()
    budgets = WorkerBudgets(settings, data_dir, directory, number)
    try:
        await budgets.start()
        worker = build_worker(settings, environ, data_dir, turn, journal, directory, number, budgets)
        for stop_signal in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(stop_signal, worker.stop)
        # What stands now lives as long as the process, and requests leave no cycles behind.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await worker.run(listener, ready)
    finally:
        await budgets.close()
        journal.close()
        directory.flush_uses()
        directory.close()


def open_journal(settings: Settings, data_dir: DataDir, number: int, turn: Turn) -> JournalWriter:
    options = settings.journal
    return JournalWriter(
        data_dir.journal,
        new_writer_id(f"worker{number}"),
        call_soon=turn.at_end,
        call_later=asyncio.get_running_loop().call_later,
        options=JournalOptions(
            on_failure=options.on_failure,
            sync_interval_s=options.sync_interval,
            segment_bytes=options.segment_bytes,
            segment_age_s=options.segment_age,
            max_bytes=options.max_bytes,
        ),
    )


def build_worker(
    settings: Settings,
    environ: Mapping[str, str],
    data_dir: DataDir,
    turn: Turn,
    journal: JournalWriter,
    directory: KeyDirectory,
    number: int,
    budgets: WorkerBudgets | None = None,
) -> Worker:
    """`budgets` must have been started; without them none are held."""
    with open_control(data_dir.control) as control:
        hash_key = choose_hash_key(settings, environ, control)
    loop = asyncio.get_running_loop()
    providers = build_providers(settings, environ, hash_key, CLOCK.monotonic)
    directory.refresh_if_changed()
    tally = Tally() if budgets is None else budgets.tally
    quota = QuotaWatch(data_dir.status / f"quota-worker{number}.json", read_kept(data_dir.status))
    gate = None if budgets is None else budgets.gate
    upstream = settings.upstream
    drains = Drains(
        DrainLimits(upstream.drain_timeout, upstream.drain_max_bytes, upstream.drain_max_streams),
        CLOCK.monotonic,
    )
    around = Surroundings(journal=journal, drains=drains, tally=tally, turn=turn, quota=quota, budgets=gate)
    gateway_id = settings.gateway.id or socket.gethostname()
    ledger = LedgerWatch(data_dir.status / "ledger.json", CLOCK.wall)
    readiness = WorkerReadiness(journal, directory, partial(_degraded, ledger, budgets))
    events = OwnEvents(journal, gateway_rows(), tally, CLOCK.wall)
    # All workers read with the same attributes, so the first speaks for all.
    report = partial(_report, loop, events) if number == 0 else None
    features = open_features(settings, environ, data_dir, report=report)
    request_features = RequestFeatures(lambda: features.payload, is_expected=serves_features(settings))
    steer_worker(settings, features, SteeredParts(drains, events, quota), loop.call_soon_threadsafe)
    features.start()
    endpoints = Endpoints(
        Intake(journal, directory, CLOCK, gateway_id),
        FeatureRoutes(request_features, directory, settings.flags.client_keys),
    )
    recognizer, admitter = Recognizer(directory, gateway_id), Admitter(journal.accepts, gate)
    unsent = Unsent(
        endpoints=endpoints,
        recognizer=recognizer,
        admitter=admitter,
        journal=journal,
        tally=tally,
        clock=CLOCK,
        gateway_id=gateway_id,
    )
    pipeline = Pipeline(
        local=LocalRoutes(readiness),
        routes=Routes(providers),
        endpoints=endpoints,
        authenticator=build_authenticator(settings, directory),
        heads=RequestHeadReader(_identity_headers(settings)),
        memory=HeadMemory(directory, CLOCK.wall),
        recognizer=recognizer,
        admitter=admitter,
        forwarder=Forwarder(journal, around),
        unsent=unsent,
        tally=tally,
        turn=turn,
        clock=CLOCK,
        max_body_bytes=settings.gateway.max_body_bytes,
    )
    troubles = WorkerEvents(journal, directory, tally, events)
    status = StatusFile(data_dir.status / f"worker{number}.json", journal, tally, drains, directory)
    return Worker(
        pipeline,
        limits=_client_limits(settings),
        uploads=Uploads(_upload_limits(settings), tally),
        options=_worker_options(settings),
        drains=drains,
        watched=[provider.pool for provider in providers],
        periodics=[
            Periodic(settings.keys.poll_interval, directory.refresh_if_changed),
            Periodic(FLUSH_USES_INTERVAL_S, directory.flush_uses, in_thread=True),
            Periodic(STATUS_INTERVAL_S, status.write),
            Periodic(STATUS_INTERVAL_S, ledger.look),
            Periodic(INTERVAL_S, troubles.look),
            Periodic(STATUS_INTERVAL_S, quota.write),
            *([] if budgets is None else budgets.periodics()),
        ],
        closing=[
            *(provider.pool.close for provider in providers),
            troubles.look,
            quota.write,
            features.close,
            request_features.close,
        ],
        clock=CLOCK.monotonic,
        tls=_server_tls(settings),
    )


def _report(loop: asyncio.AbstractEventLoop, events: OwnEvents, exposure: Exposure) -> None:
    """From whichever thread reads. A worker that has ended tells nothing more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(events.tell_exposure, exposure)


def _degraded(ledger: LedgerWatch, budgets: WorkerBudgets | None) -> list[str]:
    return [*ledger.degraded(), *([] if budgets is None else budgets.problems())]


def _client_limits(settings: Settings) -> ClientLimits:
    gateway = settings.gateway
    return ClientLimits(
        max_header_bytes=gateway.max_header_bytes,
        header_timeout_s=gateway.header_timeout,
        body_timeout_s=gateway.body_timeout,
        idle_timeout_s=gateway.idle_timeout,
    )


def _worker_options(settings: Settings) -> WorkerOptions:
    carried = open_files.connections_carried(open_files.limit_in_force())
    return WorkerOptions(min(settings.gateway.max_connections, carried), settings.gateway.shutdown_timeout)


def _upload_limits(settings: Settings) -> UploadLimits:
    gateway = settings.gateway
    return UploadLimits(
        max_body_bytes=gateway.max_body_bytes,
        max_buffered_bytes=gateway.max_buffered_bytes,
        pause_s=gateway.body_timeout,
        min_bytes_per_s=gateway.min_body_rate,
    )


def _identity_headers(settings: Settings) -> frozenset[bytes]:
    """Headers that name a user on a trusted proxy's word; nobody else's word travels on."""
    proxy = settings.auth.proxy
    names = (proxy.user_header, proxy.email_header, proxy.team_header)
    return frozenset(name.lower().encode("ascii") for name in names if name)


def _server_tls(settings: Settings) -> ssl.SSLContext | None:
    cert, key = settings.gateway.tls_cert, settings.gateway.tls_key
    if cert is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"[gateway] tls_cert and tls_key can't be used: {error.strerror or error}"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context
