"""Settings -> the sources of identity: Byline keys always, tokens and a trusted proxy where set up."""

from __future__ import annotations

import time

from byline.control.directory import KeyDirectory
from byline.gateway.auth.authenticator import Authenticator
from byline.gateway.auth.jwks import SigningKeys, file_fetch, url_fetch
from byline.gateway.auth.keys import KeySource
from byline.gateway.auth.proxy import ProxyRules, ProxySource, parse_networks
from byline.gateway.auth.tokens import TokenRules, TokenSource
from byline.settings import JwtSettings, ProxySettings, Settings, SettingsError


def build_authenticator(settings: Settings, directory: KeyDirectory) -> Authenticator:
    """Raises SettingsError for rules that would let in whom nobody meant."""
    try:
        return Authenticator(
            KeySource(directory, time.time),
            tokens=_token_source(settings),
            proxy=_proxy_source(settings.auth.proxy, directory),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _token_source(settings: Settings) -> TokenSource | None:
    options = settings.auth.jwt
    if options.jwks_file is not None:
        fetch = file_fetch(options.jwks_file)
    elif options.jwks_url:
        ca_file = settings.upstream.ca_file
        fetch = url_fetch(options.jwks_url, ca_file=str(ca_file) if ca_file else None)
    else:
        return None
    keys = SigningKeys(fetch, refresh_interval_s=options.refresh_interval)
    return TokenSource(_token_rules(options), keys, time.time)


def _token_rules(options: JwtSettings) -> TokenRules:
    return TokenRules(
        issuer=options.issuer,
        audience=options.audience,
        algorithms=options.algorithms,
        id_claim=options.id_claim,
        username_claim=options.username_claim,
        email_claim=options.email_claim,
        team_claim=options.team_claim,
        job_claim=options.job_claim,
        may_claim_job="job" in options.may_claim,
        may_claim_user="user" in options.may_claim,
    )


def _proxy_source(options: ProxySettings, directory: KeyDirectory) -> ProxySource | None:
    if not options.trusted_addresses:
        return None
    rules = ProxyRules(
        networks=parse_networks(options.trusted_addresses),
        user_header=options.user_header.lower().encode("ascii"),
        email_header=options.email_header.lower().encode("ascii"),
        team_header=options.team_header.lower().encode("ascii"),
        may_claim_job="job" in options.may_claim,
        may_claim_user="user" in options.may_claim,
    )
    return ProxySource(rules, directory)
