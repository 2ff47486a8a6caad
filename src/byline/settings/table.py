"""The table: name, type, default and a sentence for every option.

`docs/reference/settings.md` is generated from these classes. A value is written here or nowhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from byline.settings.values import ZERO_ALLOWED, Duration, Money, Size, zero_is

Option = msgspec.Meta
IdentifierKind = Literal["id", "username", "email", "hash", "user_job"]
Policy = Literal["overwrite", "fill", "keep", "merge"]
MayClaim = tuple[Literal["job", "user"], ...]
MIB = 1024 * 1024
SUPPORTED_ENGINES = ("duckdb",)
"""The other names of `ledger.engine` are kept for later, and refused where settings are read."""

# One line an option, so that each class below reads as the table it is.
# fmt: off


class GatewaySettings(msgspec.Struct, frozen=True):
    """The data plane's own socket: where it listens, how much it takes, how long it waits."""

    host: Annotated[str, Option(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Option(ge=0, le=65535, description="Port; 0 picks a free one.")] = 8787
    workers: Annotated[int, Option(ge=1, le=256, description="Worker processes sharing the port.")] = 1
    id: Annotated[str, Option(description="Name of this gateway in rows; empty means the host name.")] = ""
    tls_cert: Annotated[Path | None, Option(description="PEM file with the certificate chain; turns TLS on.")] = None
    tls_key: Annotated[Path | None, Option(description="PEM file with the key of `tls_cert`.")] = None
    max_connections: Annotated[int, Option(ge=1, description="Client connections per worker, or as many as its limit of open files carries; more are answered 503.")] = 10_000
    max_header_bytes: Annotated[Size, Option(description="Longest request head.")] = Size(65_536)
    max_body_bytes: Annotated[Size, Option(description="Longest request body, after decoding.")] = Size(64 * MIB)
    max_buffered_bytes: Annotated[Size, Option(description="Request bodies that are being received, together and per worker; what would pass it is answered 503.")] = Size(1024 * MIB)
    header_timeout: Annotated[Duration, Option(description="First byte of a request to the end of its head.")] = Duration(10)
    body_timeout: Annotated[Duration, Option(description="Longest pause inside a request body.")] = Duration(60)
    min_body_rate: Annotated[Size, Option(description="Bytes a second that a request body must bring on average after its first `body_timeout`; 0 sets no such bound.")] = Size(4096)
    idle_timeout: Annotated[Duration, Option(description="Silence after which a client connection is closed.")] = Duration(75)
    shutdown_timeout: Annotated[Duration, Option(description="How long streams in flight may go on after a stop was asked for; 0 ends them at once.", extra=ZERO_ALLOWED)] = Duration(30)


class UpstreamSettings(msgspec.Struct, frozen=True):
    """Connections to providers."""

    connect_timeout: Annotated[Duration, Option(description="TCP and TLS handshake with the provider.")] = Duration(10)
    first_byte_timeout: Annotated[Duration, Option(description="Request sent to first byte of the answer.")] = Duration(600)
    stall_timeout: Annotated[Duration, Option(description="Longest silence inside an answer.")] = Duration(300)
    idle_timeout: Annotated[Duration, Option(description="How long an unused connection stays pooled.")] = Duration(30)
    max_idle: Annotated[int, Option(ge=0, description="Unused connections kept per provider and worker.")] = 256
    ca_file: Annotated[Path | None, Option(description="PEM file of further certificate authorities to trust.")] = None
    drain_timeout: Annotated[Duration, Option(description="After a client hang-up, how long the answer is still read for its usage; 0 cancels at once.", extra=ZERO_ALLOWED)] = Duration(30)
    drain_max_bytes: Annotated[Size, Option(description="After a client hang-up, how much of the answer is still read.")] = Size(16 * MIB)
    drain_max_streams: Annotated[int, Option(ge=0, description="Abandoned answers read at the same time, per worker.")] = 64


class ClientSettings(msgspec.Struct, frozen=True):
    """Which gateway the programs that `byline run` starts send their calls to."""

    url: Annotated[str, Option(description="The gateway's address; BYLINE_URL wins over it, and empty means the one on this machine.")] = ""
    key_env: Annotated[str, Option(description="Environment variable with the Byline key. Without any key, programs call their providers directly.")] = "BYLINE_KEY"
    key_file: Annotated[Path | None, Option(description="File with the Byline key, read where the variable is not set.")] = None


class ConsoleSettings(msgspec.Struct, frozen=True):
    """Another socket, with `/metrics` and `/healthz`."""

    host: Annotated[str, Option(description="Address the console listens on.")] = "127.0.0.1"
    port: Annotated[int, Option(ge=0, le=65535, description="Port; 0 picks a free one.")] = 8788


class CredentialSettings(msgspec.Struct, frozen=True):
    """One further key of a provider, and who uses it. A key's rule wins over a user's, a user's over a team's."""

    api_key_env: Annotated[str, Option(description="Environment variable that holds the provider's key.")]
    auth: Annotated[Literal["auto", "bearer", "x-api-key"], Option(description="Header the key goes in; `auto` is the provider's usual one.")] = "auto"
    teams: Annotated[tuple[str, ...], Option(description="Teams that use this credential.")] = ()
    users: Annotated[tuple[str, ...], Option(description="Users that use this credential; wins over `teams`.")] = ()
    keys: Annotated[tuple[str, ...], Option(description="Byline key ids that use this credential; wins over `users`.")] = ()


class ProviderSettings(msgspec.Struct, frozen=True):
    """One upstream. `anthropic` (`https://api.anthropic.com`, ANTHROPIC_API_KEY) and `openai` (`https://api.openai.com`, OPENAI_API_KEY) are there unless overridden; others need `base_url` and `kind`."""

    base_url: Annotated[str, Option(description="Origin and optional path the API's paths are appended to.")] = ""
    kind: Annotated[Literal["anthropic", "openai", ""], Option(description="Which family of APIs it speaks; known for `anthropic` and `openai`.")] = ""
    path_prefix: Annotated[str, Option(description="Where the gateway serves it; `/NAME` if empty.")] = ""
    api_key_env: Annotated[str, Option(description="Environment variable with the key of the credential named `default`; empty sends none.")] = ""
    credentials: Annotated[dict[str, CredentialSettings], Option(description="Further credentials by name; `default` serves who matches none.")] = {}
    allow_paths: Annotated[tuple[str, ...], Option(description="Further paths passed through attributed, without usage; `*` at the end matches the rest.")] = ()
    price_list: Annotated[str, Option(description="Whose prices it charges, such as `openai` or `aws`; its own name's if empty.")] = ""
    ask_for_usage: Annotated[bool, Option(description="Add `stream_options.include_usage` to chat streams that lack it, and leave the event with the usage out of the answer again.")] = True
    forward_traceparent: Annotated[bool, Option(description="Send the client's `traceparent` on to the provider.")] = False
    forward_organization: Annotated[bool, Option(description="Let clients set organization, project and workspace headers on the gateway's credential.")] = False
    proxy: Annotated[str, Option(description="HTTP proxy for this provider; empty follows HTTPS_PROXY and NO_PROXY, `none` uses none.")] = ""


class IdentitySettings(msgspec.Struct, frozen=True):
    """What one provider overrides. An option that isn't set here is taken from `[identity]`."""

    identifier: Annotated[IdentifierKind | None, Option(description="What is stamped: `id`, `username`, `email`, `hash` or `user_job`.")] = None
    policy: Annotated[Policy | None, Option(description="What happens to an identity the client sent: `overwrite`, `fill`, `keep` or `merge`.")] = None
    max_length: Annotated[int | None, Option(ge=16, description="Longest identifier in characters; if unset 256 for Anthropic, 64 for OpenAI.")] = None
    forbid_personal: Annotated[bool | None, Option(description="Send the hash instead of what looks like an email address or phone number; if unset so for Anthropic.")] = None
    client_credential_policy: Annotated[Policy | None, Option(description="Policy where the client's own provider credential passes through.")] = None


class IdentityOptions(msgspec.Struct, frozen=True):
    """Who is named upstream, and how."""

    identifier: Annotated[IdentifierKind, Option(description="What is stamped: `id`, `username`, `email`, `hash` or `user_job`.")] = "id"
    policy: Annotated[Policy, Option(description="What happens to an identity the client sent: `overwrite`, `fill`, `keep` or `merge`.")] = "overwrite"
    max_length: Annotated[int | None, Option(ge=16, description="Longest identifier in characters; if unset 256 for Anthropic, 64 for OpenAI.")] = None
    forbid_personal: Annotated[bool | None, Option(description="Send the hash instead of what looks like an email address or phone number; if unset so for Anthropic.")] = None
    client_credential_policy: Annotated[Policy, Option(description="Policy where the client's own provider credential passes through.")] = "keep"
    hash_key_env: Annotated[str, Option(description="Environment variable with the key of `hash` identifiers. Unset: one is made and kept in the control database.")] = "BYLINE_HASH_KEY"
    providers: dict[str, IdentitySettings] = {}

    def for_provider(self, name: str) -> IdentitySettings:
        """`[identity.NAME]` over `[identity]`; `max_length` and `forbid_personal` may still be None."""
        own = self.providers.get(name, IdentitySettings())
        return IdentitySettings(
            identifier=own.identifier or self.identifier,
            policy=own.policy or self.policy,
            max_length=own.max_length or self.max_length,
            forbid_personal=self.forbid_personal if own.forbid_personal is None else own.forbid_personal,
            client_credential_policy=own.client_credential_policy or self.client_credential_policy,
        )


class KeysSettings(msgspec.Struct, frozen=True):
    """How workers follow the control database."""

    max_stale: Annotated[Duration, Option(description="How long known keys serve while the control database can't be read.")] = Duration(300)
    poll_interval: Annotated[Duration, Option(description="How often workers look at the change counter.")] = Duration(0.25)


class JwtSettings(msgspec.Struct, frozen=True):
    """Callers with a signed token; on when `jwks_url` or `jwks_file` is set."""

    issuer: Annotated[str, Option(description="Required `iss`.")] = ""
    audience: Annotated[str, Option(description="Required `aud`.")] = ""
    jwks_url: Annotated[str, Option(description="Where the signing keys are fetched.")] = ""
    jwks_file: Annotated[Path | None, Option(description="File with the signing keys; instead of `jwks_url`.")] = None
    algorithms: Annotated[tuple[str, ...], Option(description="Accepted signature algorithms.")] = ("RS256", "ES256")
    refresh_interval: Annotated[Duration, Option(description="How often `jwks_url` is fetched again.")] = Duration(300)
    id_claim: Annotated[str, Option(description="Claim that becomes the actor's id.")] = "sub"
    username_claim: Annotated[str, Option(description="Claim that becomes the username; the id if absent.")] = "preferred_username"
    email_claim: Annotated[str, Option(description="Claim that becomes the email.")] = "email"
    team_claim: Annotated[str, Option(description="Claim that becomes the team.")] = "team"
    job_claim: Annotated[str, Option(description="Claim that binds a job; empty for none.")] = ""
    may_claim: Annotated[MayClaim, Option(description="What holders may claim.")] = ("job",)


class ProxySettings(msgspec.Struct, frozen=True):
    """Callers that a proxy in front has authenticated; on when `trusted_addresses` is set."""

    trusted_addresses: Annotated[tuple[str, ...], Option(description="Addresses or networks whose identity headers are believed.")] = ()
    user_header: Annotated[str, Option(description="Header with the username.")] = "x-forwarded-user"
    email_header: Annotated[str, Option(description="Header with the email.")] = "x-forwarded-email"
    team_header: Annotated[str, Option(description="Header with the team.")] = "x-forwarded-groups"
    may_claim: Annotated[MayClaim, Option(description="What callers behind the proxy may claim.")] = ("job",)


class AuthSettings(msgspec.Struct, frozen=True):
    """Ways in beside Byline keys."""

    jwt: JwtSettings = JwtSettings()
    proxy: ProxySettings = ProxySettings()


class JournalSettings(msgspec.Struct, frozen=True):
    """The durable local log of rows."""

    on_failure: Annotated[Literal["fail_open", "fail_closed"], Option(description="What happens to requests when the journal can't be written.")] = "fail_open"
    sync_interval: Annotated[Duration, Option(description="Longest time before written entries are forced to the disk.")] = Duration(0.02)
    segment_bytes: Annotated[Size, Option(description="Size at which a segment is closed and a new one begun.")] = Size(16 * MIB)
    segment_age: Annotated[Duration, Option(description="Age at which a segment is closed and a new one begun.")] = Duration(60)
    max_bytes: Annotated[Size, Option(description="Disk budget of all undrained segments; then `on_failure` decides.")] = Size(4096 * MIB)


class LedgerSettings(msgspec.Struct, frozen=True):
    """The store that is asked who used what."""

    engine: Annotated[Literal["duckdb", "clickhouse", "bigquery"], Option(description="The store rows end in. Only `duckdb` is supported yet.")] = "duckdb"
    memory_limit: Annotated[Size, Option(description="Memory the embedded engine may use.")] = Size(512 * MIB)
    threads: Annotated[int, Option(ge=1, description="Threads the embedded engine may use.")] = 2
    drain_interval: Annotated[Duration, Option(description="How often the journal is looked at for new entries.")] = Duration(0.25)
    sql_timeout: Annotated[Duration, Option(description="Longest run of a `byline sql` query.")] = Duration(30)
    retention: Annotated[Duration, Option(description="Age at which single rows and events go; daily sums of rows stay. `forever`, or 0, keeps everything.", extra=zero_is("forever"))] = Duration(0)


class PricesSettings(msgspec.Struct, frozen=True):
    """What tokens cost."""

    update_url: Annotated[str, Option(description="Where `byline prices update` fetches newer data; empty means the package's own source.")] = ""
    auto_update: Annotated[bool, Option(description="Fetch newer prices once a day while serving.")] = False
    overrides_file: Annotated[Path | None, Option(description="TOML file with own prices in tables `[models.\"PROVIDER/MODEL\"]`, looked at before the package's.")] = None


class EventsSettings(msgspec.Struct, frozen=True):
    """Telemetry events, the rows of `api_events`."""

    personal: Annotated[tuple[str, ...], Option(description="Further keys of personal values that programs send; each gets a privileged column `pii_KEY`.")] = ()


class BudgetSettings(msgspec.Struct, frozen=True):
    """The limits of one scope: exactly one of `user`, `job`, `team`, `key`, `model`, `everybody`. A name may be a pattern: `*` is each one by itself. `byline budgets set` does the same, and wins."""

    user: Annotated[str, Option(description="Whose requests are limited: a user name.")] = ""
    job: Annotated[str, Option(description="Instead a job.")] = ""
    team: Annotated[str, Option(description="Instead a team.")] = ""
    key: Annotated[str, Option(description="Instead a Byline key id.")] = ""
    model: Annotated[str, Option(description="Instead a model, as requested; all that match a pattern share one sum.")] = ""
    everybody: Annotated[bool, Option(description="Instead everything that is sent, in one sum.")] = False
    usd_per_hour: Annotated[Money | None, Option(description="US dollars per clock hour.")] = None
    usd_per_day: Annotated[Money | None, Option(description="US dollars per day, UTC.")] = None
    usd_per_week: Annotated[Money | None, Option(description="US dollars per week from Monday, UTC.")] = None
    usd_per_month: Annotated[Money | None, Option(description="US dollars per calendar month, UTC.")] = None
    requests_per_minute: Annotated[int | None, Option(ge=0, description="Requests in any sixty seconds.")] = None
    tokens_per_minute: Annotated[int | None, Option(ge=0, description="Tokens in any sixty seconds, input and output, cached ones too.")] = None
    concurrency: Annotated[int | None, Option(ge=0, description="Requests under way at once.")] = None
    models: Annotated[tuple[str, ...], Option(description="Models that may be used, patterns allowed; all if empty.")] = ()
    mode: Annotated[Literal["hard", "soft", "shadow"], Option(description="`hard` refuses, `soft` only warns, `shadow` only counts what it would have refused.")] = "hard"
    contact: Annotated[str, Option(description="Whom a refusal says to ask.")] = ""


class BudgetsOptions(msgspec.Struct, frozen=True):
    """Our own limits."""

    contact: Annotated[str, Option(description="Whom a refusal says to ask where neither the budget nor the job has somebody.")] = "the operator of this gateway"
    strip_upstream_quota: Annotated[bool, Option(description="Keep the provider's quota headers, which describe a credential that many share, from users who have a money budget of their own.")] = True
    seed_timeout: Annotated[Duration, Option(description="How long a worker waits for the ledger to say what is used already, before it serves.")] = Duration(5)
    named: dict[str, BudgetSettings] = {}


class CountersSettings(msgspec.Struct, frozen=True):
    """Where budgets are counted: in the worker, or in Redis or Valkey for several workers or machines."""

    url: Annotated[str, Option(description="`redis://HOST:PORT/DB`, `rediss://` for TLS, `unix://PATH`; empty counts in the worker.")] = ""
    prefix: Annotated[str, Option(description="What all keys begin with; gateways with the same one share their budgets.")] = "byline"
    on_failure: Annotated[Literal["fail_open", "fail_closed"], Option(description="What happens to requests while the store can't be asked.")] = "fail_open"
    lease: Annotated[Duration, Option(description="How long a reservation outlives a worker that died; it is renewed while its request lives.")] = Duration(60)
    timeout: Annotated[Duration, Option(description="Longest wait for the store.")] = Duration(0.5)


class LogSettings(msgspec.Struct, frozen=True):
    """What the server says on stderr."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Option(description="Lowest level written.")] = "info"
    format: Annotated[Literal["text", "json"], Option(description="One line of text or one JSON object per record.")] = "text"


class FlagsSettings(msgspec.Struct, frozen=True):
    """Feature values: what steers the gateway itself, and what it serves to GrowthBook SDKs."""

    enabled: Annotated[bool, Option(description="Off: overrides and defaults only; nothing is fetched.")] = True
    source: Annotated[Literal["none", "growthbook", "remote_eval", "file", "gateway"], Option(description="Where values come from; `gateway` is another Byline gateway.")] = "none"
    url: Annotated[str, Option(description="Address of the GrowthBook API, of the remote evaluator or of the gateway.")] = ""
    client_key: Annotated[str, Option(description="GrowthBook's client key, such as `sdk-abc123`; of a gateway one of its `client_keys`, or any name beside a Byline key.")] = ""
    key_env: Annotated[str, Option(description="Environment variable with the Byline key for `source = \"gateway\"`.")] = "BYLINE_KEY"
    file: Annotated[Path | None, Option(description="File in GrowthBook's format, for `source = \"file\"`.")] = None
    decryption_key_env: Annotated[str, Option(description="Environment variable with the key of encrypted payloads.")] = "BYLINE_FLAGS_DECRYPTION_KEY"
    poll_interval: Annotated[Duration, Option(description="How often the source is asked; a file is looked at every two seconds at least.")] = Duration(60)
    timeout: Annotated[Duration, Option(description="Longest wait for the source.")] = Duration(10)
    stream: Annotated[bool, Option(description="Follow the source's event stream between polls.")] = False
    attributes: Annotated[dict[str, Any], Option(description="What targeting knows of this gateway, beside its `id` and `host`.")] = {}
    client_keys: Annotated[tuple[str, ...], Option(description="Client keys that may fetch features from this gateway without a Byline key. Like GrowthBook's they are no secrets.")] = ()
    overrides: Annotated[dict[str, Any], Option(description="Values that win over the source's, by feature.")] = {}


# fmt: on

KNOWN_PROVIDERS = {
    "anthropic": ProviderSettings(
        base_url="https://api.anthropic.com",
        kind="anthropic",
        path_prefix="/anthropic",
        api_key_env="ANTHROPIC_API_KEY",
    ),
    "openai": ProviderSettings(
        base_url="https://api.openai.com", kind="openai", path_prefix="/openai", api_key_env="OPENAI_API_KEY"
    ),
}


class Settings(msgspec.Struct, frozen=True):
    """Everything that can be set, complete: what nobody wrote has its default."""

    data_dir: Annotated[
        Path, Option(description="Directory of control data, journal and embedded ledger; made if absent.")
    ] = Path("byline-data")
    gateway: GatewaySettings = GatewaySettings()
    upstream: UpstreamSettings = UpstreamSettings()
    console: ConsoleSettings = ConsoleSettings()
    client: ClientSettings = ClientSettings()
    providers: dict[str, ProviderSettings] = msgspec.field(default_factory=lambda: dict(KNOWN_PROVIDERS))
    identity: IdentityOptions = IdentityOptions()
    keys: KeysSettings = KeysSettings()
    auth: AuthSettings = AuthSettings()
    journal: JournalSettings = JournalSettings()
    ledger: LedgerSettings = LedgerSettings()
    prices: PricesSettings = PricesSettings()
    events: EventsSettings = EventsSettings()
    budgets: BudgetsOptions = BudgetsOptions()
    counters: CountersSettings = CountersSettings()
    log: LogSettings = LogSettings()
    flags: FlagsSettings = FlagsSettings()
