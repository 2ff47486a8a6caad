"""What the event `feature_exposed` says: for programs and for the gateway, which read features alike."""

from __future__ import annotations

from typing import Protocol

from byline.telemetry.metadata import SafeValue
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths


class Exposed(Protocol):
    """A feature that was read, and the experiment that decided it."""

    @property
    def feature(self) -> str: ...
    @property
    def experiment(self) -> str: ...
    @property
    def variation(self) -> int: ...
    @property
    def variation_key(self) -> str: ...
    @property
    def hash_attribute(self) -> str: ...


def exposure_values(exposed: Exposed) -> dict[str, SafeValue]:
    # Names from whoever runs the experiment, not from the program that reads the feature.
    verified = i_verified_this_is_not_code_or_filepaths
    return {
        "feature": verified(exposed.feature),
        "experiment": verified(exposed.experiment),
        "variation": exposed.variation,
        "variation_key": verified(exposed.variation_key),
        "split_by": verified(exposed.hash_attribute),
    }
