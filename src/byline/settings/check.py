"""What several options say against each other, and what names and addresses must look like.

Whether an identifier policy can ever fit a provider is the identity package's to say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

import msgspec

from byline.settings.table import SUPPORTED_ENGINES, ProviderSettings, Settings

_NAME = re.compile(r"[a-z0-9-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_OWN_PATHS: Final = ("/v1", "/api", "/byline", "/healthz", "/readyz")


def complete(settings: Settings) -> Settings:
    """Fills what follows from a provider's name."""
    providers = {name: _complete(name, provider) for name, provider in settings.providers.items()}
    return msgspec.structs.replace(settings, providers=providers)


def _complete(name: str, provider: ProviderSettings) -> ProviderSettings:
    prefix = provider.path_prefix or f"/{name}"
    return msgspec.structs.replace(provider, path_prefix=prefix, base_url=provider.base_url.rstrip("/"))


def problems_in(settings: Settings) -> list[str]:
    found: list[str] = []
    for name, provider in settings.providers.items():
        found += _provider(f"providers.{name}", name, provider)
    return [
        *found,
        *_prefixes(settings),
        *_identity(settings),
        *_pairs(settings),
        *_flags(settings),
        *_budgets(settings),
        *_ledger(settings),
    ]


def _provider(key: str, name: str, provider: ProviderSettings) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"[{key}]: a provider's name has lower-case letters, digits and '-' only"
    if not provider.kind:
        yield f'{key}.kind is missing: write kind = "openai" or kind = "anthropic", whichever API it speaks'
    yield from _base_url(key, provider)
    if not _PREFIX.fullmatch(provider.path_prefix) or _is_own(provider.path_prefix):
        yield (
            f"{key}.path_prefix must be a path such as /{name}, without a slash at its end and outside "
            f"{', '.join(_OWN_PATHS)}"
        )
    if provider.api_key_env:
        yield from _variable(f"{key}.api_key_env", provider.api_key_env)
    yield from _credentials(key, provider)


def _is_own(prefix: str) -> bool:
    return any(prefix == own or prefix.startswith(f"{own}/") for own in _OWN_PATHS)


def _base_url(key: str, provider: ProviderSettings) -> Iterator[str]:
    url = provider.base_url
    if not url:
        yield f'{key}.base_url is missing: write base_url = "https://..."'
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable or parts.query or parts.fragment or parts.username:
        yield f'{key}.base_url must be an address such as "https://host/path", without user, query or fragment'


def _variable(key: str, name: str) -> Iterator[str]:
    if not _VARIABLE.fullmatch(name):
        yield f"{key} must be the name of an environment variable that holds the key, not the key itself"


def _credentials(key: str, provider: ProviderSettings) -> Iterator[str]:
    users_of: defaultdict[str, list[str]] = defaultdict(list)
    for name, credential in provider.credentials.items():
        at = f"{key}.credentials.{name}"
        if not _NAME.fullmatch(name):
            yield f"[{at}]: a credential's name has lower-case letters, digits and '-' only"
        if name == "client":
            yield f"[{at}]: 'client' stands in rows for the client's own key; choose another name"
        yield from _variable(f"{at}.api_key_env", credential.api_key_env)
        for kind in ("keys", "users", "teams"):
            for who in getattr(credential, kind):
                users_of[f"{kind}: {who!r}"].append(name)
    for who, names in users_of.items():
        if len(names) > 1:
            yield f"{key}.credentials: {who} stands in {' and '.join(names)}; leave it in one"


def _prefixes(settings: Settings) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name, provider in settings.providers.items():
        other = seen.setdefault(provider.path_prefix, name)
        if other != name:
            yield f"providers.{name}.path_prefix is that of providers.{other}: {provider.path_prefix}; choose another"


def _identity(settings: Settings) -> Iterator[str]:
    for name in settings.identity.providers:
        if name not in settings.providers:
            near = get_close_matches(name, settings.providers, n=1)
            hint = (
                f"did you mean [identity.{near[0]}]?"
                if near
                else f"there are {', '.join(settings.providers)}"
            )
            yield f"[identity.{name}]: no such provider; {hint}"
    yield from _variable("identity.hash_key_env", settings.identity.hash_key_env)


def _budgets(settings: Settings) -> Iterator[str]:
    scopes = ("user", "job", "team", "key", "model", "everybody")
    for name, budget in settings.budgets.named.items():
        if sum(bool(getattr(budget, scope)) for scope in scopes) != 1:
            yield f"[budgets.{name}] needs exactly one of {', '.join(scopes)}: whose budget it is"
    url = settings.counters.url
    if url and not url.startswith(("redis://", "rediss://", "valkey://", "valkeys://", "unix://")):
        yield 'counters.url must begin with redis://, rediss:// or unix://, such as "redis://127.0.0.1:6379/0"'


def _ledger(settings: Settings) -> Iterator[str]:
    if (engine := settings.ledger.engine) not in SUPPORTED_ENGINES:
        possible = " or ".join(f'"{name}"' for name in SUPPORTED_ENGINES)
        yield f'ledger.engine = "{engine}" is not supported yet: write {possible}, or leave the key out'


def _flags(settings: Settings) -> Iterator[str]:
    flags = settings.flags
    needed = {"growthbook": ("url", "client_key"), "remote_eval": ("url", "client_key"), "gateway": ("url",)}
    needed["file"] = ("file",)
    for key in needed.get(flags.source, ()):
        if not getattr(flags, key):
            yield f'flags.{key} is missing: source = "{flags.source}" needs it'
    yield from _variable("flags.key_env", flags.key_env)
    yield from _variable("flags.decryption_key_env", flags.decryption_key_env)


def _pairs(settings: Settings) -> Iterator[str]:
    gateway, jwt = settings.gateway, settings.auth.jwt
    if bool(gateway.tls_cert) != bool(gateway.tls_key):
        missing = "tls_key" if gateway.tls_cert else "tls_cert"
        yield f"gateway.{missing} is missing: TLS needs both tls_cert and tls_key"
    if gateway.max_buffered_bytes < gateway.max_body_bytes:
        yield "gateway.max_buffered_bytes is less than max_body_bytes; raise it, or lower that"
    if jwt.jwks_url and jwt.jwks_file:
        yield "auth.jwt has both jwks_url and jwks_file; leave one out"
    if gateway.port and gateway.port == settings.console.port and gateway.host == settings.console.host:
        yield f"gateway.port and console.port are both {gateway.port}; choose another for one"
