"""A trusted reverse proxy as a source of identity: it has authenticated, its headers say whom.

The headers count only from the addresses the operator listed; from anywhere else they are ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from byline.gateway.auth.admission import Header, Refusal, Verdict
from byline.gateway.auth.attribution import UserLookup
from byline.identity.claims import clean_claim
from byline.identity.model import Actor, Grant

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_REMEMBERED_PEERS = 4096


class ProxyRules(msgspec.Struct, frozen=True, kw_only=True):
    """Plain values of `[auth.proxy]`; header names in lower case."""

    networks: tuple[Network, ...]
    user_header: bytes
    email_header: bytes
    team_header: bytes
    may_claim_job: bool = True
    may_claim_user: bool = False


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError that names the entry."""
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(
                f"{text!r} is not an address or network ({error}). Write it as `10.0.0.7` or `10.0.0.0/24`."
            ) from error
    return tuple(networks)


class ProxySource:
    def __init__(self, rules: ProxyRules, users: UserLookup) -> None:
        self._rules = rules
        self._users = users
        self._peers: dict[str, bool] = {}

    def identify(self, headers: Sequence[Header], peer_address: str) -> Verdict | None:
        """None where the peer isn't trusted or names nobody."""
        if not self._trusts(peer_address):
            return None
        said = self._said(headers)
        if isinstance(said, Refusal):
            return said
        username = said.get(self._rules.user_header)
        if username is None:
            return None
        actor = self._users.actor_by_username(username) or Actor(
            id=username,
            username=username,
            email=said.get(self._rules.email_header),
            team=_first_of_list(said.get(self._rules.team_header)),
        )
        return Grant(
            actor=actor,
            auth_source="proxy",
            may_claim_job=self._rules.may_claim_job,
            may_claim_user=self._rules.may_claim_user,
        )

    def _trusts(self, peer_address: str) -> bool:
        known = self._peers.get(peer_address)
        if known is None:
            known = _is_within(peer_address, self._rules.networks)
            if len(self._peers) >= _REMEMBERED_PEERS:
                self._peers.clear()
            self._peers[peer_address] = known
        return known

    def _said(self, headers: Sequence[Header]) -> dict[bytes, str] | Refusal:
        names = (self._rules.user_header, self._rules.email_header, self._rules.team_header)
        said: dict[bytes, str] = {}
        for name, value in headers:
            if name not in names:
                continue
            text = _as_sent(value)
            if name in said or text is None:
                return _unusable(name)
            if text:
                said[name] = text
        return said


def _as_sent(value: bytes) -> str | None:
    """None for a value that would have to be altered to be recorded: two users must not become one."""
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if not text or clean_claim(text) == text else None


def _unusable(name: bytes) -> Refusal:
    return Refusal(
        401,
        "invalid_proxy_header",
        f"The proxy sent {name.decode('latin-1')} twice, or a value that is no name. Check the proxy's set-up.",
    )


def _first_of_list(groups: str | None) -> str | None:
    return groups.split(",")[0].strip() or None if groups else None


def _is_within(peer_address: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer_address.partition("%")[0])
    except ValueError:  # a Unix socket's peer has no address
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
