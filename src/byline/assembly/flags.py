"""Settings -> feature values: the gateway's own, and those it serves."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import msgspec

from byline.assembly.data_dir import DataDir
from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.disk import DiskSnapshot, snapshot_key
from byline.flags.exposures import Report
from byline.flags.opening import SourceChoice, interval_of, open_source, place_of
from byline.flags.overrides import Overrides, OverridesFile, read_environment
from byline.flags.sources.http import HttpOptions
from byline.gateway.drains import Drains
from byline.gateway.own_events import OwnEvents
from byline.gateway.own_flags import (
    DRAIN_MAX_BYTES,
    DRAIN_MAX_STREAMS,
    DRAIN_TIMEOUT_S,
    EARLY_WARNINGS,
    EVENT_SAMPLE_RATES,
    LOG_LEVEL,
    OWN_FLAGS,
    SINKS_OFF,
    Steering,
    early_warning_rules,
)
from byline.gateway.quota import QuotaWatch
from byline.settings import Settings, SettingsError

OVERRIDES_FILE = "overrides.json"


def open_features(
    settings: Settings, environ: Mapping[str, str], data_dir: DataDir, *, report: Report | None = None
) -> FeatureClient:
    """Not started yet. Raises SettingsError for a source that can't be one."""
    flags, choice, attributes = settings.flags, source_choice(settings, environ), gateway_attributes(settings)
    try:
        source = open_source(choice, attributes)
    except ValueError as error:
        raise SettingsError(f"[flags] {error}") from None
    options = FeatureOptions(
        enabled=flags.enabled,
        overrides=Overrides(read_environment(environ), flags.overrides),
        poll_interval_s=interval_of(choice.kind, flags.poll_interval),
        http=choice.http,
    )
    key = snapshot_key(place_of(choice), flags.client_key, attributes)
    return FeatureClient(
        source,
        options,
        disk=DiskSnapshot(data_dir.flags, key) if source is not None else None,
        overrides_file=overrides_file(data_dir),
        report=report,
    )


def overrides_file(data_dir: DataDir) -> OverridesFile:
    return OverridesFile(data_dir.flags / OVERRIDES_FILE)


def gateway_attributes(settings: Settings) -> dict[str, Any]:
    host = socket.gethostname()
    return {"id": settings.gateway.id or host, "host": host, **settings.flags.attributes}


def serves_features(settings: Settings) -> bool:
    """Whether the source shows its rules, so that they can be served on."""
    return settings.flags.enabled and settings.flags.source in ("file", "growthbook")


def source_choice(settings: Settings, environ: Mapping[str, str]) -> SourceChoice:
    flags = settings.flags
    ca_file = settings.upstream.ca_file
    return SourceChoice(
        kind=flags.source,
        url=flags.url,
        client_key=flags.client_key,
        byline_key=environ.get(flags.key_env, "") if flags.source == "gateway" else "",
        decryption_key=environ.get(flags.decryption_key_env, ""),
        file=flags.file,
        streaming=flags.stream,
        http=HttpOptions(flags.timeout, str(ca_file) if ca_file else None),
    )


@contextmanager
def following_log_level(settings: Settings, environ: Mapping[str, str], data_dir: DataDir) -> Generator[None]:
    """For a process of which only the log level is steered."""
    features = open_features(settings, environ, data_dir)
    steering = _steering(features)
    _wire_log_level(steering, settings)
    features.on_refresh(lambda _names: steering.refresh())
    features.start()
    try:
        yield
    finally:
        features.close()


class SteeredParts(NamedTuple):
    """What the gateway's own flags change in a worker."""

    drains: Drains
    events: OwnEvents
    quota: QuotaWatch


def steer_worker(
    settings: Settings, features: FeatureClient, parts: SteeredParts, call_soon: Callable[..., object]
) -> Steering:
    """Now, and on the worker's loop whenever the flags change."""
    steering, drains = _steering(features), parts.drains
    _wire_log_level(steering, settings)
    defaults = own_defaults(settings)
    steering.wire(DRAIN_TIMEOUT_S, _limiting(drains, "timeout_s"), defaults[DRAIN_TIMEOUT_S.name])
    steering.wire(DRAIN_MAX_BYTES, _limiting(drains, "max_bytes"), defaults[DRAIN_MAX_BYTES.name])
    steering.wire(DRAIN_MAX_STREAMS, _limiting(drains, "max_streams"), defaults[DRAIN_MAX_STREAMS.name])
    steering.wire(EVENT_SAMPLE_RATES, partial(setattr, parts.events, "sample_rates"))
    steering.wire(SINKS_OFF, partial(setattr, parts.events, "sinks_off"))
    steering.wire(EARLY_WARNINGS, lambda windows: parts.quota.warn_by(early_warning_rules(windows)))
    features.on_refresh(lambda _names: call_soon(steering.refresh))
    return steering


def own_defaults(settings: Settings) -> dict[str, Any]:
    """What each of the gateway's own flags is while nobody says otherwise."""
    upstream = settings.upstream
    return {flag.name: flag.default for flag in OWN_FLAGS} | {
        DRAIN_TIMEOUT_S.name: float(upstream.drain_timeout),
        DRAIN_MAX_BYTES.name: int(upstream.drain_max_bytes),
        DRAIN_MAX_STREAMS.name: upstream.drain_max_streams,
        LOG_LEVEL.name: settings.log.level,
    }


def _steering(features: FeatureClient) -> Steering:
    def is_misfit(name: str, default: Any) -> bool:
        return features.details(name, default).error_code == "TYPE_MISMATCH"

    return Steering(features.value, is_misfit)


def _limiting(drains: Drains, field: str) -> Callable[[float], None]:
    def apply(value: float) -> None:
        drains.limits = msgspec.structs.replace(drains.limits, **{field: value})

    return apply


def _wire_log_level(steering: Steering, settings: Settings) -> None:
    steering.wire(LOG_LEVEL, lambda level: logging.getLogger().setLevel(level.upper()), settings.log.level)
