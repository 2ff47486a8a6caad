"""Opens a connection to an origin: names resolved, addresses tried in turn, proxies, TLS verified."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from byline.gateway.upstream.origin import Origin, Proxy

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)
MAX_CONNECT_REPLY_BYTES = 16_384


class DialError(Exception):
    """No connection. `error_type` goes on the row; `str(error)` is safe to show."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


async def dial(
    make_protocol: Callable[[], ProtocolT],
    origin: Origin,
    *,
    tls: ssl.SSLContext,
    proxy: Proxy | None,
    timeout_s: float,
) -> ProtocolT:
    """Raises DialError; its type is one of connect_timeout, connect_error, dns_error, tls_error, proxy_error."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _dial(make_protocol, origin, tls, proxy)
    except TimeoutError as error:
        # The kernel gives up by itself where our own time is longer than its.
        within = "in time" if error.errno else f"within {timeout_s:g} s"
        raise DialError("connect_timeout", f"no connection to {_way(origin, proxy)} {within}") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
        raise DialError("tls_error", f"TLS with {origin.host}: {reason}") from None
    except socket.gaierror:
        raise DialError("dns_error", f"the name {(proxy or origin).host} could not be resolved") from None
    except OSError as error:
        message = f"no connection to {_way(origin, proxy)}: {_reason(error)}"
        raise DialError("connect_error", message) from None


def named(server: Origin | Proxy) -> str:
    """As people write it: `api.example:443`."""
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


def _way(origin: Origin, proxy: Proxy | None) -> str:
    return f"{named(origin)} through the proxy {named(proxy)}" if proxy else named(origin)


def _reason(error: OSError) -> str:
    """The system's own words: the event loop's are Python, `Connect call failed ('127.0.0.1', 1)`."""
    if error.errno:
        return os.strerror(error.errno)
    return "it was closed" if isinstance(error, ConnectionError) else type(error).__name__


async def _dial(
    make_protocol: Callable[[], ProtocolT], origin: Origin, tls: ssl.SSLContext, proxy: Proxy | None
) -> ProtocolT:
    loop = asyncio.get_running_loop()
    connected = await _connect(loop, *((proxy.host, proxy.port) if proxy else (origin.host, origin.port)))
    try:
        if proxy and origin.scheme == "https":
            await _tunnel(loop, connected, origin, proxy)
        secure = origin.scheme == "https"
        _, protocol = await loop.create_connection(
            make_protocol,
            sock=connected,
            ssl=tls if secure else None,
            server_hostname=origin.host if secure else None,
        )
    except BaseException:
        connected.close()
        raise
    return protocol


async def _connect(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError("no address")
    for family, kind, number, _, address in infos:
        candidate = socket.socket(family, kind, number)
        candidate.setblocking(False)
        try:
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await loop.sock_connect(candidate, address)
        except OSError as error:
            candidate.close()
            failure = error
        except BaseException:
            candidate.close()
            raise
        else:
            return candidate
    raise failure


async def _tunnel(
    loop: asyncio.AbstractEventLoop, connected: socket.socket, origin: Origin, proxy: Proxy
) -> None:
    target = f"{origin.host}:{origin.port}"
    authorization = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    await loop.sock_sendall(
        connected, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n".encode()
    )
    reply = b""
    while b"\r\n\r\n" not in reply:
        data = await loop.sock_recv(connected, 4096)
        reply += data
        if not data or len(reply) > MAX_CONNECT_REPLY_BYTES:
            raise DialError("proxy_error", f"the proxy {proxy.host} closed the tunnel")
    status = reply.split(b" ", 2)[1:2]
    if status != [b"200"]:
        shown = status[0].decode("ascii", "replace") if status else "nothing"
        raise DialError("proxy_error", f"the proxy {proxy.host} answered {shown} to CONNECT")
