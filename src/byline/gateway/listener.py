"""The gateway's port: reserved once by the supervisor, shared by its workers."""

from __future__ import annotations

import socket


def bind(host: str, port: int) -> socket.socket:
    """A socket that shares its port with others of this user; not listening yet.

    Raises OSError, with the address in its text, when the address can't be had.
    """
    family, kind, protocol, _, address = _resolve(host, port)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _named(error, host, port) from error
    return bound


def reserve(host: str, port: int) -> socket.socket:
    """Like `bind`, after making sure that nobody else listens there; 0 picks a free port.

    While the returned socket is open the port stays ours, also when every worker is down. It must
    not listen itself: the kernel would give it a share of the connections.
    """
    if port:
        _check_free(host, port)
    return bind(host, port)


def port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


def _check_free(host: str, port: int) -> None:
    # Without SO_REUSEPORT, or another gateway's port would be shared without a word.
    family, kind, protocol, _, address = _resolve(host, port)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise _named(error, host, port) from error


def _resolve(
    host: str, port: int
) -> tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0]


def _named(error: OSError, host: str, port: int) -> OSError:
    return OSError(error.errno, f"can't listen on {host}:{port}: {error.strerror}")
