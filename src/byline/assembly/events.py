"""Settings -> telemetry: the gateway's own events, and the privileged columns of `api_events`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

import byline
from byline._build import BUILD
from byline.settings import Settings, SettingsError
from byline.telemetry.event import Event
from byline.telemetry.fanout import GeneralEvent, GeneralRoute, general_values
from byline.telemetry.low_trust import low_trust_route
from byline.telemetry.rows import RowMaker, privileged_columns
from byline.telemetry.sinks.console import ConsoleLines
from byline.telemetry.sinks.datadog import DatadogLogs
from byline.telemetry.sinks.dogstatsd import DogStatsdMetrics
from byline.telemetry.sinks.ndjson import NdjsonFile
from byline.telemetry.sinks.otlp import OtlpLogs
from byline.telemetry.source import Source
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths

_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")


def own_source(kind: Literal["gateway", "client"]) -> Source:
    ours = i_verified_this_is_not_code_or_filepaths
    return Source(kind=kind, program=ours("byline"), version=ours(byline.__version__), build=ours(BUILD))


def gateway_rows() -> RowMaker:
    return RowMaker(own_source("gateway"))


def personal_columns(settings: Settings) -> tuple[str, ...]:
    """Raises SettingsError for a key that makes no column."""
    for key in settings.events.personal:
        if not _KEY.fullmatch(key):
            raise SettingsError(
                f"[events] personal: {key!r} makes no column; write lower-case letters, digits and _"
            )
    return privileged_columns(settings.events.personal)


class Received(msgspec.Struct, frozen=True):
    """What one sink would get of an event; `shown` None where it gets nothing."""

    sink: str
    shown: object | None


def audit(event: Event, settings: Settings) -> list[Received]:
    """For each sink exactly what it would receive: made by the sinks' own code, sent nowhere."""
    source = own_source("client")
    keys = [column.removeprefix("pii_") for column in personal_columns(settings)]
    row, _ = RowMaker(source, keys).make(event)
    return [Received("first_party", row), *(_general(event, route, show) for route, show in _routes(source))]


def _routes(source: Source) -> list[tuple[GeneralRoute, Callable[[GeneralEvent], object]]]:
    """Every general sink as it is set up unless a program decides otherwise."""
    # Nothing is sent, so no key is needed and no path exists.
    datadog, dogstatsd = DatadogLogs("", source), DogStatsdMetrics(source)
    otlp, console, ndjson = OtlpLogs(source), ConsoleLines(), NdjsonFile(Path("-"))
    return [
        (low_trust_route(datadog), lambda seen: msgspec.json.decode(datadog.entry(seen))),
        (
            low_trust_route(dogstatsd),
            lambda seen: {"tags": dogstatsd.tags(seen), "measures": dict(dogstatsd.measures(seen))},
        ),
        (
            GeneralRoute(otlp),
            lambda seen: {
                "event_name": seen.name,
                "attributes": otlp.attributes(seen),
                "resource": otlp.resource(),
            },
        ),
        (GeneralRoute(ndjson), lambda seen: msgspec.json.decode(ndjson.line(seen))),
        (GeneralRoute(console), console.line),
    ]


def _general(event: Event, route: GeneralRoute, show: Callable[[GeneralEvent], object]) -> Received:
    seen = route.view(event, general_values(event.values))
    return Received(route.sink.name, None if seen is None else show(seen))
