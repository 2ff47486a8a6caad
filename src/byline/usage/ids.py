"""Ids that sort by time, for rows and events.

Random bits come from a plain generator: these ids name things, they guard nothing.
"""

from __future__ import annotations

import os
import random

_generator = random.Random(random.SystemRandom().getrandbits(64))  # noqa: S311 - names, not secrets
_RANDOM = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_VERSION_AND_VARIANT = 0x7000_8000_0000_0000_0000
_times: dict[int, tuple[str, str]] = {}
"""The last millisecond as an id's first digits: a busy worker makes some of them in each."""
random_bits = _generator.getrandbits
# Two children of one process must not make the same ids.
os.register_at_fork(after_in_child=lambda: _generator.seed(random.SystemRandom().getrandbits(64)))


def new_uuid7(epoch_s: float) -> str:
    """RFC 9562 version 7: the first 48 bits are milliseconds."""
    return new_uuid7_and_digits(epoch_s)[0]


def new_uuid7_and_digits(epoch_s: float) -> tuple[str, str]:
    """Its 32 hexadecimal digits without hyphens as well."""
    time_ms = int(epoch_s * 1000)
    with_hyphens, digits = _times.get(time_ms) or _write_time(time_ms)
    rest = (random_bits(80) & _RANDOM | _VERSION_AND_VARIANT).to_bytes(10, "big").hex()
    return f"{with_hyphens}{rest[:4]}-{rest[4:8]}-{rest[8:]}", digits + rest


def _write_time(time_ms: int) -> tuple[str, str]:
    digits = time_ms.to_bytes(6, "big").hex()
    _times.clear()
    _times[time_ms] = written = f"{digits[:8]}-{digits[8:]}-", digits
    return written
