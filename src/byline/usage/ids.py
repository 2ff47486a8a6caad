"""Ids that sort by time, for rows and events.

Random bits come from a plain generator: these ids name things, they guard nothing.
"""

from __future__ import annotations

import os
import random

_generator = random.Random(random.SystemRandom().getrandbits(64))  # noqa: S311 - names, not secrets
random_bits = _generator.getrandbits
# Two children of one process must not make the same ids.
os.register_at_fork(after_in_child=lambda: _generator.seed(random.SystemRandom().getrandbits(64)))


def new_uuid7(epoch_s: float) -> str:
    """RFC 9562 version 7: the first 48 bits are milliseconds."""
    bits = random_bits(74)
    stamp = int(epoch_s * 1000)
    variant = 0x8000 | (bits >> 48) & 0x3FFF
    return f"{stamp >> 16:08x}-{stamp & 0xFFFF:04x}-7{bits >> 62:03x}-{variant:04x}-{bits & 0xFFFF_FFFF_FFFF:012x}"
