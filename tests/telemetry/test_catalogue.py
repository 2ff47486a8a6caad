"""The catalogue and the code agree: no event of Byline's own is undeclared."""

from __future__ import annotations

import ast
from pathlib import Path

import byline
from byline.gateway.auth.admission import RefusalKind
from byline.gateway.worker_events import _event_of
from byline.identity.identifier import Count
from byline.telemetry import queue
from byline.telemetry.catalogue import CATALOGUE, LOW_TRUST_EVENTS, PERSONAL_FIELDS
from byline.telemetry.grammar import IDENTIFIER

SOURCE = Path(byline.__file__).parent
CALLS = {"log_event", "log_event_async", "Event"}


def logged_names() -> set[tuple[str, str]]:
    """Names that Byline's own code logs as a literal, with the file."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if called in CALLS and isinstance(node.args[0].value, str):
                    found.add((str(node.args[0].value), path.name))
    return found


def test_no_event_is_logged_that_the_catalogue_does_not_declare():
    assert {(name, file) for name, file in logged_names() if name not in CATALOGUE} == set()
    assert queue.ATTACHED in CATALOGUE


def test_every_declared_event_is_logged_somewhere():
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py") if path.name != "catalogue.py")
    from byline.telemetry import catalogue

    constants = {value.name: name for name, value in vars(catalogue).items() if hasattr(value, "logged_by")}
    missing = [
        name for name in CATALOGUE if f"catalogue.{constants[name]}" not in text and f'"{name}"' not in text
    ]
    assert missing == []


def test_every_count_of_the_gateway_has_an_event_whose_fields_are_declared():
    counts = [
        *RefusalKind.__args__,
        *Count.__args__,
        "malformed",
        "refused_too_large",
        "upstream:anthropic:stalled",
    ]
    for count in counts:
        told = _event_of(count)
        assert told is not None, count
        spec, values = told
        assert {*values, "count"} == {field.name for field in spec.fields}
        kind = next(field for field in spec.fields if field.name == "kind")
        assert kind.shorten is not None
        assert kind.shorten(values["kind"]) == values["kind"], "a low-trust sink would only see `other`"


def test_declared_names_fit_and_none_is_personal():
    for spec in CATALOGUE.values():
        assert IDENTIFIER.match(spec.name)
        assert not {field.name for field in spec.fields} & set(PERSONAL_FIELDS)
    assert set(CATALOGUE) >= LOW_TRUST_EVENTS
