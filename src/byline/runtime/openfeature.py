"""Feature values through OpenFeature's API: `api.set_provider_and_wait(BylineProvider())`.

Needs `pip install 'byline[openfeature]'`. The values are those of `byline.feature_value_cached_may_be_stale`;
the evaluation context is not looked at, since a program's values are evaluated once per refresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

try:
    from openfeature.evaluation_context import EvaluationContext  # pyright: ignore[reportMissingTypeStubs]
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import ErrorCode
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
    from openfeature.provider import AbstractProvider, Metadata  # pyright: ignore[reportMissingTypeStubs]
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "byline's OpenFeature provider needs: pip install 'byline[openfeature]'"
    ) from error

from byline.flags.client import FeatureClient
from byline.flags.reader import FeatureDetails
from byline.runtime import features

T = TypeVar("T")


class BylineProvider(AbstractProvider):
    """Reads from `client`, or from the process's own one. Ready at once: what the disk kept can be read."""

    def __init__(self, client: FeatureClient | None = None) -> None:
        super().__init__()
        self._client = client
        self._unsubscribe: Callable[[], None] | None = None

    def get_metadata(self) -> Metadata:
        return Metadata("byline")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        subscribe = self._client.on_refresh if self._client else features.on_feature_refresh
        self._unsubscribe = subscribe(self._changed)

    def shutdown(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, default_value)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, default_value)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._resolve(flag_key, default_value)

    def _resolve(self, name: str, default: T) -> FlagResolutionDetails[T]:
        client = self._client
        read = client.value if client else features.feature_value_cached_may_be_stale
        value = read(name, default)  # this is what reports the exposure
        details = (client.details if client else features.feature_details)(name, default)
        if value is None:
            # OpenFeature has no null: its word for "use your default" is the default.
            return FlagResolutionDetails(default, reason=details.reason, flag_metadata=_metadata(details))
        return FlagResolutionDetails(
            value=value,
            error_code=ErrorCode(details.error_code) if details.error_code else None,
            reason=details.reason,
            variant=details.variant,
            flag_metadata=_metadata(details),
        )

    def _changed(self, names: frozenset[str]) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=sorted(names)))


def _metadata(details: FeatureDetails) -> dict[str, bool | int | float | str]:
    found = {"layer": details.layer, "rule_id": details.rule_id, "age_s": details.age_s}
    return cast("dict[str, bool | int | float | str]", {k: v for k, v in found.items() if v is not None})
