"""Feature values in other people's programs: one client for the process, made at the first read.

Configured by the environment, or by `configure_features`. With BYLINE_URL and BYLINE_KEY values come
from that gateway, evaluated there; BYLINE_FLAGS__SOURCE names another source, with the variables that
the settings page lists. Without any of these only overrides and defaults are read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

import msgspec

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.disk import DiskSnapshot, snapshot_key
from byline.flags.listeners import Listener
from byline.flags.opening import SourceChoice, SourceKind, interval_of, open_source, place_of
from byline.flags.overrides import Overrides, read_environment
from byline.flags.reader import FeatureDetails
from byline.flags.snapshot import Exposure
from byline.runtime.current import environment_identity
from byline.runtime.quiet import note_defect, warn_once

T = TypeVar("T")
_OFF: Final = frozenset({"0", "false", "off", "no"})

_lock = threading.Lock()
_client: FeatureClient | None = None


def feature_value_cached_may_be_stale(name: str, default: T) -> T:
    """The value known now, which may be an earlier run's; `default` where none is, or of another type.

    Never blocks, never raises. A feature whose stored value is null is None, whatever the default.
    """
    client = _client
    return client.value(name, default) if client is not None else _first_client().value(name, default)


def feature_details(name: str, default: Any = None) -> FeatureDetails:
    """The value with the layer it comes from and the reason, in OpenFeature's words. Reports no exposure."""
    return (_client or _first_client()).details(name, default)


def on_feature_refresh(listener: Listener) -> Callable[[], None]:
    """Calls `listener` with the names whose values changed, on a thread of its own.

    If values are known already, it is called once with all names, soon after this has returned. The
    result ends it.
    """
    return (_client or _first_client()).on_refresh(listener)


def configure_features(
    *,
    source: SourceChoice | None = None,
    attributes: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    enabled: bool | None = None,
    poll_interval_s: float = 60.0,
    cache_dir: Path | None = None,
) -> FeatureClient:
    """Replaces what the environment says, and whatever was there before. Raises ValueError.

    `attributes` are what targeting knows of this program; leave out what changes with each run, or no
    run will find the values of the one before. `cache_dir` keeps them (by default the user's cache).
    """
    global _client
    environ = os.environ
    client = _open(
        source or choice_from(environ),
        {**_identity_attributes(), **(attributes or {})},
        FeatureOptions(
            enabled=_enabled(environ) if enabled is None else enabled,
            overrides=Overrides(read_environment(environ), overrides or _config_overrides(environ)),
            poll_interval_s=poll_interval_s,
        ),
        cache_dir or _cache_dir(environ),
    )
    with _lock:
        before, _client = _client, client
    if before is not None:
        before.close()
    return client


def choice_from(environ: Mapping[str, str]) -> SourceChoice:
    """What the environment says; nothing, and a warning, for a source that there is none of."""
    get = environ.get
    url, key = get("BYLINE_URL", ""), get("BYLINE_KEY", "")
    kind = get("BYLINE_FLAGS__SOURCE", "") or ("gateway" if url and key else "none")
    if kind not in get_args(SourceKind):
        warn_once(
            f"BYLINE_FLAGS__SOURCE must be one of {', '.join(get_args(SourceKind))}: no features are fetched"
        )
        return SourceChoice()
    return SourceChoice(
        kind=cast("SourceKind", kind),
        url=get("BYLINE_FLAGS__URL", "") or (url if kind == "gateway" else ""),
        client_key=get("BYLINE_FLAGS__CLIENT_KEY", ""),
        byline_key=key if kind == "gateway" else "",
        decryption_key=get("BYLINE_FLAGS_DECRYPTION_KEY", ""),
        file=Path(file) if (file := get("BYLINE_FLAGS__FILE")) else None,
        streaming=get("BYLINE_FLAGS__STREAM", "").lower() in ("1", "true"),
    )


def _first_client() -> FeatureClient:
    """By the environment. What can't work there is said once, and leaves overrides and defaults."""
    global _client
    with _lock:
        if _client is None:
            _client = _from_environment()
        return _client


def _from_environment() -> FeatureClient:
    options = FeatureOptions(
        enabled=_enabled(os.environ),
        overrides=Overrides(read_environment(os.environ), _config_overrides(os.environ)),
    )
    try:
        return _open(choice_from(os.environ), _identity_attributes(), options, _cache_dir(os.environ))
    except ValueError as error:
        warn_once(f"features are not fetched: {error}")
    except Exception as error:  # noqa: BLE001 - a read never raises
        note_defect("setting up feature values", error)
    return FeatureClient(None, options)


def _open(
    choice: SourceChoice, attributes: Mapping[str, Any], options: FeatureOptions, cache_dir: Path
) -> FeatureClient:
    options = msgspec.structs.replace(
        options, poll_interval_s=interval_of(choice.kind, options.poll_interval_s), http=choice.http
    )
    source = open_source(choice, attributes)
    disk = None
    if source is not None:
        who = {**attributes, "byline_key": _fingerprint(choice.byline_key)}
        disk = DiskSnapshot(cache_dir, snapshot_key(place_of(choice), choice.client_key, who))
    client = FeatureClient(source, options, disk=disk, report=_report)
    client.start()
    return client


def _report(exposure: Exposure) -> None:
    from byline.telemetry.exposure import exposure_values
    from byline.telemetry.process import log_event

    log_event("feature_exposed", exposure_values(exposure))


def _identity_attributes() -> dict[str, str]:
    identity = environment_identity()
    if identity is None:
        return {}
    known = {"id": identity.user, "user": identity.user, "job": identity.job}
    return {name: value for name, value in known.items() if value is not None}


def _config_overrides(environ: Mapping[str, str]) -> Mapping[str, Any]:
    text = environ.get("BYLINE_FLAGS__OVERRIDES", "")
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except (msgspec.MsgspecError, RecursionError):
        warn_once("BYLINE_FLAGS__OVERRIDES is ignored: it must be a JSON object")
        return {}


def _enabled(environ: Mapping[str, str]) -> bool:
    return environ.get("BYLINE_FLAGS__ENABLED", "").strip().lower() not in _OFF


def _cache_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "byline" / "features"


def _fingerprint(secret: str) -> str:
    """Tells keys apart without keeping them."""
    import hashlib

    return hashlib.sha256(secret.encode()).hexdigest()[:16] if secret else ""


def _begin_in_child() -> None:
    """The parent's other threads may have held the lock."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_in_child)
