"""Which build this is. The build hook writes this file anew for an internal wheel."""

from __future__ import annotations

from typing import Final

BUILD: Final = "public"
