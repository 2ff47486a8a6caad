"""The variable that internal programs carry their identity in. The public build leaves this module out."""

from __future__ import annotations

from byline.identity.environment import contribute

VARIABLE = "ANT_ONLY_METADATA_USER_ID"

contribute(VARIABLE)
