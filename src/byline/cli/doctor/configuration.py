"""Whether the settings can be used, by themselves and with what this machine has."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from byline.assembly.providers import build_providers
from byline.cli.doctor.finding import Finding
from byline.gateway.provider import Provider
from byline.settings import DEFAULT_FILE, Settings, SettingsError, load, lookalikes


def read(file: Path | None, environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    try:
        settings = load(file, environ)
    except SettingsError as error:
        return None, [
            Finding("settings", "failed", problem, "correct it there") for problem in error.problems
        ]
    source = file or DEFAULT_FILE
    detail = str(source) if source.exists() else f"no {DEFAULT_FILE} here: defaults and environment"
    return settings, [Finding("settings", "ok", detail), *_lookalikes(environ), *_plain_http(settings)]


def providers(settings: Settings, environ: Mapping[str, str]) -> tuple[list[Provider], list[Finding]]:
    """The providers as a worker would build them."""
    try:
        # No identifier is made here, so no real key is needed.
        return build_providers(settings, environ, b"unused", time.monotonic), []
    except SettingsError as error:
        return [], [Finding("providers", "failed", str(error), "correct the settings")]


def _lookalikes(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name, meant in lookalikes(environ):
        yield Finding("settings", "warning", f"{name} is set, but nothing reads it", f"did you mean {meant}?")


def _plain_http(settings: Settings) -> Iterator[Finding]:
    for name, provider in settings.providers.items():
        parts = urlsplit(provider.base_url)
        if parts.scheme == "http" and not _is_near(parts.hostname or ""):
            detail = f"{provider.base_url} takes keys and prompts unencrypted over the network"
            yield Finding(f"provider {name}", "warning", detail, "write https:// if the provider offers it")


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
