"""Commands as Redis reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

_encode = msgspec.json.Encoder().encode


def packed(*parts: str | int | bytes) -> bytes:
    encoded = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded)


class Script:
    """A script, and how to ask for it: by its hash, or in full where the server doesn't know it yet."""

    def __init__(self, text: str) -> None:
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # by which Redis names scripts
        self._by_hash = _up_to_arguments("EVALSHA", sha)
        self._in_full = _up_to_arguments("EVAL", text)

    def by_hash(self, arguments: Sequence[str | int]) -> bytes:
        json = _encode(arguments)
        return b"%b$%d\r\n%b\r\n" % (self._by_hash, len(json), json)

    def in_full(self, arguments: Sequence[str | int]) -> bytes:
        json = _encode(arguments)
        return b"%b$%d\r\n%b\r\n" % (self._in_full, len(json), json)


def _up_to_arguments(command: str, script: str) -> bytes:
    return f"*4\r\n${len(command)}\r\n{command}\r\n${len(script)}\r\n{script}\r\n$1\r\n0\r\n".encode()
