"""Values as JSON: marked strings as the text they hold, nothing else that JSON doesn't know."""

from __future__ import annotations

from typing import Final

import msgspec

from byline.telemetry.verified import PiiTagged, Verified


def _text(value: object) -> str:
    if isinstance(value, Verified | PiiTagged):
        return str(value)
    raise TypeError(f"telemetry holds a {type(value).__name__}")


_encoder: Final = msgspec.json.Encoder(enc_hook=_text)


def to_json(value: object) -> bytes:
    return _encoder.encode(value)


def general_value(value: object) -> bool | int | float | str | None:
    """A metadata value for libraries that take plain types. Raises TypeError for what is not verified."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Verified):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is not for general sinks")
