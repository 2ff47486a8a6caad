"""GrowthBook's payload, checked before anything is replaced by it.

An empty or malformed payload is refused whole: it is a server's accident far more often than the wish to
have no features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from byline.flags.snapshot import Json

MAX_BYTES: Final = 16 * 1024 * 1024
_ENCRYPTED: Final = {
    "encryptedFeatures": "features",
    "encryptedSavedGroups": "savedGroups",
    "encryptedContextualBandits": "contextualBandits",
}


class PayloadRefused(ValueError):
    """The message says what is wrong with the payload, without its content."""


class Rule(msgspec.Struct, frozen=True):
    """Only what is looked at here; the evaluator reads the rest from the raw payload."""

    force: Json = msgspec.UNSET
    tracks: list[dict[str, Any]] = []


class Feature(msgspec.Struct, frozen=True):
    defaultValue: Json = None  # noqa: N815 - the wire's name
    rules: list[dict[str, Any]] = []


class Payload(msgspec.Struct, frozen=True):
    """`raw` is the payload as it came, decrypted."""

    features: dict[str, Feature]
    raw: Mapping[str, Json]
    was_encrypted: bool = False

    @property
    def has_rules(self) -> bool:
        return any(feature.rules for feature in self.features.values())


def parse_payload(document: bytes, decryption_key: str = "") -> Payload:
    """Raises PayloadRefused."""
    if len(document) > MAX_BYTES:
        raise PayloadRefused(f"it is larger than {MAX_BYTES} bytes")
    try:
        raw = msgspec.json.decode(document, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise PayloadRefused("it is not a JSON object") from None
    was_encrypted = not raw.keys().isdisjoint(_ENCRYPTED)
    raw = _decrypt_sections(raw, decryption_key)
    try:
        features = msgspec.convert(raw.get("features"), dict[str, Feature])
    except (msgspec.ValidationError, RecursionError):
        raise PayloadRefused("it has no well-formed `features`") from None
    if not features:
        raise PayloadRefused("it has no features")
    return Payload(features, raw, was_encrypted)


def _decrypt_sections(raw: dict[str, Any], key: str) -> dict[str, Any]:
    for sealed, name in _ENCRYPTED.items():
        text = raw.pop(sealed, None)
        if not text:
            continue
        if not key:
            raise PayloadRefused("it is encrypted and no decryption key is set")
        try:
            raw[name] = msgspec.json.decode(_decrypt(text, key))
        except (msgspec.MsgspecError, RecursionError):
            raise PayloadRefused(f"`{sealed}` holds no JSON") from None
    return raw


def _decrypt(text: Json, key: str) -> str:
    from byline.flags.growthbook_package import load_rules

    return load_rules().decrypt(text, key)
