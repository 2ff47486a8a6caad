"""Every event that Byline itself logs: what it says, with which fields, and why.

`docs/reference/events.md` is generated from here, and a test holds the code to it. Programs log events
of their own freely; personal values need one of `PERSONAL_FIELDS`, or a column declared in the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, LiteralString

import msgspec

from byline.telemetry.counters import REASONS
from byline.telemetry.reduction import Shorten, one_of, short_model, short_version

FieldKind = Literal["count", "number", "flag", "name"]

PERSONAL_FIELDS: Final[Mapping[str, str]] = {
    "email": "an address, to find out whom an event is about",
    "username": "a name as somebody typed it, where no Byline user is known for it",
    "peer_address": "a network address that requests came from",
    "file_path": "a path on somebody's machine",
}
"""Keys that programs may use in `pii` without declaring anything; each has a privileged column."""


class Field(msgspec.Struct, frozen=True):
    name: str
    kind: FieldKind
    meaning: str
    shorten: Shorten | None = None
    """How a low-trust sink sees a name; `other` without."""


class EventSpec(msgspec.Struct, frozen=True, kw_only=True):
    name: LiteralString
    logged_by: Literal["gateway", "client runtime", "client runtime and the gateway"]
    meaning: str
    why: str
    fields: tuple[Field, ...] = ()
    low_trust: bool = True
    """Whether sinks with an allow-list may have it."""


_COUNT: Final = Field("count", "count", "how many since the last such event")
_KINDS_OF_REFUSAL: Final = (
    "no_credential", "repeated_credential", "conflicting_credentials", "malformed_key", "unknown_key", "expired_key",
    "revoked_key", "keys_unavailable", "invalid_token", "expired_token", "unmapped_token", "tokens_unavailable",
    "invalid_proxy_header", "malformed", "permission", "not_found", "too_large", "unsupported", "overloaded",
    "invalid_request", "budget", "rate_limit",
)  # fmt: skip
_KINDS_OF_IDENTITY: Final = (
    "email_missing", "job_missing", "identifier_hashed", "merge_shortened", "merge_without_job", "merge_gave_up",
)  # fmt: skip
_KINDS_OF_LOSS: Final = (
    "stale_connection", "upstream_closed", "upstream_reset", "malformed_answer", "first_byte_timeout", "stalled",
    "connect_timeout", "connect_error", "tls_error", "dns_error", "proxy_error",
)  # fmt: skip
_REFUSAL: Final = Field("kind", "name", "why, in one word", one_of(*_KINDS_OF_REFUSAL))
_PROVIDER: Final = Field("provider", "name", "the provider as configured", one_of("anthropic", "openai"))

REQUESTS_UNAUTHENTICATED: Final = EventSpec(
    name="gateway_requests_unauthenticated",
    logged_by="gateway",
    meaning="Requests were turned away because nobody could be made out behind them.",
    why="They leave no row. A wrong key in a rollout, or somebody trying keys, shows here.",
    fields=(_REFUSAL, _COUNT),
)
REQUESTS_REFUSED: Final = EventSpec(
    name="gateway_requests_refused",
    logged_by="gateway",
    meaning="Requests of known callers were turned away, or were no HTTP at all.",
    why="Shows limits and broken clients as they begin to bite; each known caller has a row as well.",
    fields=(_REFUSAL, _COUNT),
)
IDENTITY_COUNTED: Final = EventSpec(
    name="gateway_identity_counted",
    logged_by="gateway",
    meaning="Identities were not stamped as configured, for example hashed because they did not fit.",
    why="A policy that seldom fits should be changed; only counts tell.",
    fields=(Field("kind", "name", "what was done or found instead", one_of(*_KINDS_OF_IDENTITY)), _COUNT),
)
UPSTREAM_TROUBLE: Final = EventSpec(
    name="gateway_upstream_trouble",
    logged_by="gateway",
    meaning="Connections to a provider failed, stalled or were cut.",
    why="Tells the provider's trouble from one's own network, without reading rows.",
    fields=(
        _PROVIDER,
        Field(
            "kind", "name", "what happened to the connection",
            one_of(*_KINDS_OF_LOSS),
        ),
        _COUNT,
    ),
)  # fmt: skip
JOURNAL_TROUBLE: Final = EventSpec(
    name="gateway_journal_trouble",
    logged_by="gateway",
    meaning="The journal can't be written any more, or can again.",
    why="The one state in which requests may go unrecorded (or be refused). It is held until it can be told.",
    fields=(
        Field("is_over", "flag", "true when it can be written again"),
        Field(
            "lost_entries", "count", "entries that could neither be written nor held since the worker began"
        ),
        Field("refused_starts", "count", "requests turned away since the worker began"),
    ),
)
KEYS_TROUBLE: Final = EventSpec(
    name="gateway_keys_trouble",
    logged_by="gateway",
    meaning="The control database can't be read any more, or can again.",
    why="Revoked keys go on working for a while; after `keys.max_stale` nobody is served.",
    fields=(Field("is_over", "flag", "true when it can be read again"),),
)
SINK_ATTACHED: Final = EventSpec(
    name="analytics_sink_attached",
    logged_by="client runtime",
    meaning="A sink was attached and events were waiting for it.",
    why="For those who work on Byline: whether start-up logs before it attaches. Internal builds, or BYLINE_DEBUG.",
    fields=(Field("queued_event_count", "count", "events that were held until then"),),
)
EVENTS_DROPPED: Final = EventSpec(
    name="telemetry_events_dropped",
    logged_by="client runtime",
    meaning="Events were not delivered to a sink.",
    why="Counts over events are only worth something when it is known what is missing.",
    fields=(
        Field("sink", "name", "which sink", one_of("queue", "fan_out", "first_party", "datadog", "dogstatsd", "otlp", "console", "ndjson")),
        Field("reason", "name", "why, one of the reasons below", one_of(*REASONS)),
        _COUNT,
    ),
)  # fmt: skip
FEATURE_EXPOSED: Final = EventSpec(
    name="feature_exposed",
    logged_by="client runtime and the gateway",
    meaning="A program read a feature that an experiment decides. Once per feature and variation.",
    why="Experiments are evaluated over those who were exposed, not over those who were assigned.",
    fields=(
        Field("feature", "name", "which feature was read"),
        Field("experiment", "name", "the experiment's key"),
        Field("variation", "count", "the variation's number, from 0"),
        Field("variation_key", "name", "the variation's key"),
        Field("split_by", "name", "the attribute that the experiment splits by"),
    ),
    low_trust=False,
)

CATALOGUE: Final[Mapping[str, EventSpec]] = {
    spec.name: spec
    for spec in (
        REQUESTS_UNAUTHENTICATED,
        REQUESTS_REFUSED,
        IDENTITY_COUNTED,
        UPSTREAM_TROUBLE,
        JOURNAL_TROUBLE,
        KEYS_TROUBLE,
        SINK_ATTACHED,
        EVENTS_DROPPED,
        FEATURE_EXPOSED,
    )
}

LOW_TRUST_EVENTS: Final = frozenset(spec.name for spec in CATALOGUE.values() if spec.low_trust)
"""The allow-list of low-trust sinks, unless told otherwise."""

SHORTENED_FIELDS: Final[Mapping[str, Shorten]] = {
    "model": short_model,
    "version": short_version,
    "provider": one_of("anthropic", "openai"),
} | {
    f"{spec.name}.{field.name}": field.shorten
    for spec in CATALOGUE.values()
    for field in spec.fields
    if field.shorten is not None
}
"""What low-trust sinks see of names, by field or by event and field."""
