"""Who sends: fixed for the life of a process, and seen by every sink."""

from __future__ import annotations

from typing import Literal

import msgspec

from byline.telemetry.verified import Verified, i_verified_this_is_not_code_or_filepaths

UNKNOWN = i_verified_this_is_not_code_or_filepaths("unknown")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["gateway", "client"] = "client"
    program: Verified = UNKNOWN
    version: Verified = UNKNOWN
    build: Verified = UNKNOWN
