"""Where a counter store is: `redis://`, `rediss://` or `unix://`, as Redis's own tools write it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_TLS_OPTIONS: Final = (
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
_ENCODED: Final = "in passwords, / ? # [ ] and @ are written %2F %3F %23 %5B %5D and %40"
_OFF: Final = frozenset({"none", "false", "0", "no"})


@dataclass(frozen=True)
class RedisAddress:
    """Its password is in no repr."""

    host: str
    port: int
    path: str
    """Of a Unix socket; empty where `host` and `port` count."""
    database: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None


def parse_address(url: str) -> RedisAddress:
    """Raises ValueError that repeats no password."""
    split = _split(url)
    scheme = split.scheme.replace("valkey", "redis")
    options = dict(parse_qsl(split.query))
    known = {"db", *_TLS_OPTIONS} if scheme == "rediss" else {"db"}
    for name in options:
        if name not in known:
            raise ValueError(f"unknown option {name!r}: {scheme}:// knows {', '.join(sorted(known))}")
    return RedisAddress(
        host=_host(split),
        port=_port(split),
        path=unquote(split.path) if scheme == "unix" else "",
        database=_database(options.get("db") or ("" if scheme == "unix" else split.path.strip("/"))),
        username=unquote(split.username) if split.username else None,
        password=unquote(split.password) if split.password else None,
        tls=_tls(options) if scheme == "rediss" else None,
    )


def _split(url: str) -> SplitResult:
    try:
        split = urlsplit(url)
    except ValueError:
        raise ValueError(f"it can't be read: {_ENCODED}") from None
    behind = "" if split.scheme == "unix" else split.path + split.fragment
    if not split.query.startswith(("db=", "ssl_")):  # else files may have such names
        behind += split.query
    if "@" in behind:  # the rest of a password, and all errors below would repeat it
        raise ValueError(f"there is an @ behind the host's name: {_ENCODED}")
    return split


def _host(split: SplitResult) -> str:
    host = split.hostname or "localhost"
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"{host!r} can't be a host's name") from None
    return host


def _port(split: SplitResult) -> int:
    try:
        return split.port or 6379
    except ValueError:
        raise ValueError("the port must be a number up to 65535, as in redis://HOST:6379/0") from None


def _database(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError(f"{text!r} is no database: write its number, as in redis://HOST:6379/0")
    return int(text or 0)


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    ca_file, own, key = (options.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"))
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if own is not None:
            context.load_cert_chain(own, key)
    except OSError as error:
        files = ", ".join(file for file in (ca_file, own, key) if file)
        raise ValueError(
            f"no certificates or key can be read from {files}: {error.strerror or error}"
        ) from None
    unchecked = options.get("ssl_cert_reqs", "required").lower() in _OFF
    if unchecked or options.get("ssl_check_hostname", "true").lower() in _OFF:
        context.check_hostname = False
    if unchecked:
        context.verify_mode = ssl.CERT_NONE
    return context
