"""`docs/reference/events.md`, from the catalogue of events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from byline.telemetry.catalogue import CATALOGUE, PERSONAL_FIELDS, EventSpec
from byline.telemetry.counters import REASONS
from byline.telemetry.rows import COLUMN_PREFIX

INTRODUCTION: Final = """\
# Events

What Byline itself logs, each event with its fields and the reason why it exists. Programs log events of their
own beside these; [Telemetry](../explanation/telemetry.md) says how, and who sees what.

No event of Byline's own holds personal values, a key, a prompt, code or a path. All are rows of `api_events`.
Sinks with an allow-list get those marked so, with names cut to a known vocabulary and users as one of thirty
buckets. `byline events audit EVENT JSON` shows for each sink exactly what it would receive.

This page is generated from the catalogue by `make docs`.
"""
PERSONAL: Final = """\
## Personal values

A program passes personal values as `pii={...}`. Each of these keys has a privileged column of `api_events`, which
`byline sql`, `byline events` and the console don't show; no other sink ever sees them. Further keys are declared
in the settings, `[events] personal`; without a column a value is dropped and counted.
"""
DROPPED: Final = """\
## Why events are dropped

Nothing is dropped silently: each sink counts by reason, and `telemetry_events_dropped` tells the counts.
"""


def events_page() -> str:
    lines = [INTRODUCTION]
    for spec in CATALOGUE.values():
        lines += _event(spec)
    lines += [PERSONAL, "| key | column | what it is |", "|---|---|---|"]
    lines += [f"| `{key}` | `{COLUMN_PREFIX}{key}` | {what} |" for key, what in PERSONAL_FIELDS.items()]
    lines += ["", DROPPED, "| reason | meaning |", "|---|---|"]
    lines += [f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()]
    return "\n".join(lines)


def _event(spec: EventSpec) -> Iterator[str]:
    low = "may have it" if spec.low_trust else "never get it"
    yield f"## `{spec.name}`\n"
    yield f"{spec.meaning} {spec.why}\n"
    yield f"Logged by the {spec.logged_by}; sinks with an allow-list {low}.\n"
    yield "| field | kind | meaning |"
    yield "|---|---|---|"
    for field in spec.fields:
        yield f"| `{field.name}` | {field.kind} | {field.meaning} |"
    yield ""
