"""Content codings of request bodies: decoded within the body limit, so that identity can be stamped."""

from __future__ import annotations

import zlib

from byline.gateway.http1.errors import ProtocolError

SUPPORTED = frozenset({b"gzip", b"x-gzip", b"deflate", b"zstd"})
_ZSTD_SLICE_BYTES = 512
"""Four bytes may stand for 128 KB, and the decoder knows no limit of its own."""


def require_supported(encoding: bytes) -> None:
    """Raises ProtocolError(415)."""
    if encoding and encoding not in SUPPORTED:
        raise ProtocolError(415, "request bodies may be encoded as gzip, deflate or zstd, or not at all")


def decode_body(body: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """The plain body. Raises ProtocolError(400 or 413)."""
    if not encoding:
        return body
    plain = _decode_zstd(body, max_bytes) if encoding == b"zstd" else _decode_zlib(body, max_bytes)
    if len(plain) > max_bytes:
        raise ProtocolError(413, f"the decoded request body is larger than {max_bytes} bytes")
    return plain


def _decode_zlib(body: bytes, max_bytes: int) -> bytes:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = decoder.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _undecodable() from None
    if len(plain) <= max_bytes and (not decoder.eof or decoder.unused_data):
        raise _not_one_whole()
    return plain


def _decode_zstd(body: bytes, max_bytes: int) -> bytes:
    """A reader over the whole body would take a frame that breaks off for one that ends."""
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
    parts: list[bytes] = []
    size = at = 0
    try:
        while at < len(body) and size <= max_bytes and not decoder.eof:
            parts.append(decoder.decompress(body[at : at + _ZSTD_SLICE_BYTES]))
            size += len(parts[-1])
            at += _ZSTD_SLICE_BYTES
    except zstandard.ZstdError:
        raise _undecodable() from None
    if size <= max_bytes and (not decoder.eof or decoder.unused_data or at < len(body)):
        raise _not_one_whole()
    return b"".join(parts)


def _undecodable() -> ProtocolError:
    return ProtocolError(400, "the request body does not decode as its Content-Encoding says")


def _not_one_whole() -> ProtocolError:
    return ProtocolError(400, "the encoded request body is cut short or has more after its end")
