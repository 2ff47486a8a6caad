"""`byline demo`: a newspaper's desk at work, on a simulated provider, with the books checked at the end."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import typer

from byline.cli.output import CommandError


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo() -> None:
    """Drive the official SDKs through a gateway on a simulated provider, and show who used what.

    Needs no account and no network, takes about ten seconds, leaves nothing behind, and exits with 1
    if the ledger and the provider disagree on any count.
    """
    if not (find_spec("anthropic") and find_spec("openai")):
        raise CommandError("the demo drives the official SDKs: pip install anthropic openai")
    from byline.cli.demo.run import run

    with _signals_end_it(), tempfile.TemporaryDirectory(prefix="byline-demo-") as directory:
        agrees = run(Path(directory))
    if not agrees:
        raise typer.Exit(1)


@contextmanager
def _signals_end_it() -> Generator[None]:
    """A closed terminal or a `kill` unwinds like Ctrl-C does, so that the gateway is stopped."""
    before = {name: signal.signal(name, _unwind) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _unwind(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
