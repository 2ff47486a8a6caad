"""Settings -> the providers a worker knows: origins, credentials, identity policies."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from byline.apis.api import Family
from byline.control.database import ControlDatabase
from byline.gateway.provider import Credential, CredentialChoice, Provider, credential_line
from byline.gateway.upstream.connection import Timeouts
from byline.gateway.upstream.origin import choose_proxy, client_tls, parse_base_url
from byline.gateway.upstream.pool import UpstreamPool
from byline.identity.identifier import IdentityPolicy, validate_policy
from byline.settings import ProviderSettings, Settings, SettingsError

_DEFAULT_MAX_LENGTH: Mapping[Family, int] = {"anthropic": 256, "openai": 64}


def build_providers(
    settings: Settings, environ: Mapping[str, str], hash_key: bytes, monotonic: Callable[[], float]
) -> list[Provider]:
    """Raises SettingsError for what can never work, naming the remedy."""
    ca_file = settings.upstream.ca_file
    tls = client_tls(str(ca_file) if ca_file else "")
    return [
        _build(name, provider, settings, environ, hash_key, tls, monotonic)
        for name, provider in settings.providers.items()
    ]


def choose_hash_key(settings: Settings, environ: Mapping[str, str], control: ControlDatabase) -> bytes:
    """The operator's key, else the one made at first start and kept in the control database."""
    given = environ.get(settings.identity.hash_key_env, "")
    return given.encode() if given else control.identity_hash_key()


def _build(
    name: str,
    provider: ProviderSettings,
    settings: Settings,
    environ: Mapping[str, str],
    hash_key: bytes,
    tls: ssl.SSLContext,
    monotonic: Callable[[], float],
) -> Provider:
    family: Family = provider.kind or "openai"
    try:
        origin = parse_base_url(provider.base_url)
        proxy = choose_proxy(origin, provider.proxy, environ)
    except ValueError as error:
        raise SettingsError(f"[providers.{name}] {error}") from None
    upstream = settings.upstream
    pool = UpstreamPool(
        origin,
        tls=tls,
        proxy=proxy,
        timeouts=Timeouts(
            upstream.connect_timeout,
            upstream.first_byte_timeout,
            upstream.stall_timeout,
            upstream.idle_timeout,
        ),
        max_idle=upstream.max_idle,
        clock=monotonic,
    )
    policy, client_policy = _policies(name, family, settings, hash_key)
    return Provider(
        name=name,
        family=family,
        path_prefix=provider.path_prefix or f"/{name}",
        pool=pool,
        credentials=_credentials(family, provider, environ),
        policy=policy,
        client_credential_policy=client_policy,
        allow_paths=provider.allow_paths,
        ask_for_usage=provider.ask_for_usage,
        forward_traceparent=provider.forward_traceparent,
        forward_organization=provider.forward_organization,
    )


def _policies(
    name: str, family: Family, settings: Settings, hash_key: bytes
) -> tuple[IdentityPolicy, IdentityPolicy]:
    chosen = settings.identity.for_provider(name)
    policies = [
        IdentityPolicy(
            kind=chosen.identifier or "id",
            policy=policy or "overwrite",
            max_length=chosen.max_length or _DEFAULT_MAX_LENGTH[family],
            hash_key=hash_key,
            forbids_personal=family == "anthropic"
            if chosen.forbid_personal is None
            else chosen.forbid_personal,
        )
        for policy in (chosen.policy, chosen.client_credential_policy)
    ]
    try:
        validate_policy(policies[0], name)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return policies[0], policies[1]


def _credentials(family: Family, provider: ProviderSettings, environ: Mapping[str, str]) -> CredentialChoice:
    by_key: dict[str, Credential] = {}
    by_user: dict[str, Credential] = {}
    by_team: dict[str, Credential] = {}
    default = _credential("default", family, provider.api_key_env, "auto", environ)
    for name, entry in provider.credentials.items():
        credential = _credential(name, family, entry.api_key_env, entry.auth, environ)
        if name == "default":
            default = credential
        by_key |= dict.fromkeys(entry.keys, credential)
        by_user |= dict.fromkeys(entry.users, credential)
        by_team |= dict.fromkeys(entry.teams, credential)
    return CredentialChoice(by_key, by_user, by_team, default)


def _credential(
    name: str, family: Family, variable: str, auth: str, environ: Mapping[str, str]
) -> Credential:
    if not variable:
        return Credential(name, b"")
    secret = environ.get(variable, "").strip()
    if not secret:
        return Credential(name, b"", missing_env=variable)
    return Credential(name, credential_line(family, secret, auth))
