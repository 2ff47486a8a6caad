"""Where a provider is reached: origin, proxy and trust, decided once at start."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """One upstream server. `base_path` stands before every path sent there."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy reached in plain text; `https` origins are tunnelled through CONNECT."""

    host: str
    port: int
    authorization: str = ""


def parse_base_url(url: str) -> Origin:
    """Raises ValueError naming what is wrong with `url`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL like 'https://api.example.com'")
    if parts.query or parts.fragment or parts.username:
        raise ValueError(f"{parts.hostname}: a base_url has no query, fragment or user in it")
    # Paths carry the version themselves: `/v1/messages`.
    base_path = parts.path.rstrip("/").removesuffix("/v1")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, parts.hostname, port, base_path)


def choose_proxy(origin: Origin, configured: str, environ: Mapping[str, str]) -> Proxy | None:
    """`configured` wins over HTTPS_PROXY / HTTP_PROXY / NO_PROXY; `none` means no proxy at all."""
    if configured == "none":
        return None
    url = configured or _from_environment(origin, environ)
    if not url:
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"proxy {parts.hostname or url!r}: only http:// proxies are supported")
    return Proxy(parts.hostname, parts.port or 3128, _basic(parts.username, parts.password))


def _from_environment(origin: Origin, environ: Mapping[str, str]) -> str:
    name = f"{origin.scheme}_proxy"
    url = environ.get(name) or environ.get(name.upper()) or ""
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return "" if not url or _is_exempt(origin, exempt) else url


def _is_exempt(origin: Origin, no_proxy: str) -> bool:
    host = origin.host.lower()
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        name, _, port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        name = name.lstrip("*").lstrip(".")
        if port and port != str(origin.port):
            continue
        if entry == "*" or (name and (host == name or host.endswith("." + name) or _in_network(host, name))):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _basic(username: str | None, password: str | None) -> str:
    if username is None:
        return ""
    import base64
    from urllib.parse import unquote

    pair = f"{unquote(username)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def client_tls(ca_file: str = "") -> ssl.SSLContext:
    """Certificates are always verified; `ca_file` adds authorities to the system's."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
