"""Which build this is: public, unless somebody works on the internal one in a checkout.

The build hook writes this file anew for every package, with the answer as a constant.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` takes longer to load than all the rest
if TYPE_CHECKING:
    from typing import Final, Literal

BUILD: Final[Literal["public", "internal"]] = (
    "internal" if os.environ.get("BYLINE_BUILD") == "internal" else "public"
)
