"""Ids that sort by time, for rows and events.

Random bits come from a plain generator: these ids name things, they guard nothing.
"""

from __future__ import annotations

import os
import random

_generator = random.Random(random.SystemRandom().getrandbits(64))  # noqa: S311 - names, not secrets
_VERSION_AND_VARIANT = 0x7000_8000_0000_0000_0000
random_bits = _generator.getrandbits
# Two children of one process must not make the same ids.
os.register_at_fork(after_in_child=lambda: _generator.seed(random.SystemRandom().getrandbits(64)))


def new_uuid7(epoch_s: float) -> str:
    """RFC 9562 version 7: the first 48 bits are milliseconds."""
    return with_hyphens(new_uuid7_digits(epoch_s))


def new_uuid7_digits(epoch_s: float) -> str:
    """Its 32 hexadecimal digits."""
    bits = int(epoch_s * 1000) << 80 | _VERSION_AND_VARIANT | random_bits(12) << 64 | random_bits(62)
    return bits.to_bytes(16, "big").hex()


def with_hyphens(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
