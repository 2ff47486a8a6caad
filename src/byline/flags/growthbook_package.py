"""Loads what wraps the growthbook package, where it is installed."""

from __future__ import annotations

from byline.flags.payload import PayloadRefused


def load_rules():
    """The module `byline.flags.rules`. Raises PayloadRefused with the remedy."""
    try:
        from byline.flags import rules
    except ModuleNotFoundError as error:
        raise PayloadRefused("it needs the growthbook package: pip install 'byline[flags]'") from error
    return rules
