"""JSON Web Tokens of one OpenID Connect issuer as a source of identity.

PyJWT checks signature, issuer and audience; what stands here chooses the key, checks the times by
the injected clock and maps claims to an Actor. A verified token is remembered by its hash until it
expires; the token itself is kept nowhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import jwt
import msgspec
from jwt.types import Options

from byline.gateway.auth.admission import Refusal, Verdict
from byline.gateway.auth.jwks import SigningKeys
from byline.identity.claims import clean_claim
from byline.identity.model import Actor, Grant

PUBLIC_KEY_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
LEEWAY_S = 30.0
_REMEMBERED_TOKENS = 4096

_UNAVAILABLE = Refusal(
    503, "tokens_unavailable", "Tokens can't be verified at the moment. Try again shortly."
)
_EXPIRED = Refusal(401, "expired_token", "The token has expired. Get a new one from its issuer.")


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """Plain values of `[auth.jwt]`."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    id_claim: str = "sub"
    username_claim: str = "preferred_username"
    email_claim: str = "email"
    team_claim: str = "team"
    job_claim: str = ""
    may_claim_job: bool = True
    may_claim_user: bool = False
    leeway_s: float = LEEWAY_S

    def __post_init__(self) -> None:
        for name in ("issuer", "audience"):
            if not getattr(self, name):
                raise ValueError(f"[auth.jwt] needs `{name}`: without it, tokens made for others would pass.")
        unsafe = sorted(set(self.algorithms) - PUBLIC_KEY_ALGORITHMS)
        if unsafe or not self.algorithms:
            raise ValueError(
                f"[auth.jwt] algorithms may not have {', '.join(unsafe) or 'no entry'}."
                f" Choose from {', '.join(sorted(PUBLIC_KEY_ALGORITHMS))}."
            )


class TokenSource:
    def __init__(self, rules: TokenRules, keys: SigningKeys, now: Callable[[], float]) -> None:
        self._rules = rules
        self._keys = keys
        self._now = now
        self._decoder = jwt.PyJWT(options={"enforce_minimum_key_length": True})
        self._verified: dict[bytes, tuple[Grant, float]] = {}
        self._verified_generation = 0

    def verify(self, token: bytes) -> Verdict | Awaitable[Verdict]:
        """An awaitable only where signing keys must be fetched first."""
        self._keys.refresh_if_due()
        digest = hashlib.sha256(token).digest()
        remembered = self._recall(digest)
        if remembered is not None:
            return remembered
        header = self._header(token)
        if isinstance(header, Refusal):
            return header
        key = self._find_key(header)
        if key is not None:
            return self._check(token, key, digest)
        if self._keys.may_refetch():
            return self._verify_after_fetch(token, header, digest)
        return _UNAVAILABLE if self._keys.current is None else _unknown_key()

    def issued(self, token: bytes) -> bool:
        """The token says it is from our issuer, verified or not: it must not travel on."""
        try:
            claims = self._decoder.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, RecursionError):
            return False
        return claims.get("iss") == self._rules.issuer

    async def _verify_after_fetch(self, token: bytes, header: Mapping[str, Any], digest: bytes) -> Verdict:
        await self._keys.refresh()
        key = self._find_key(header)
        if key is not None:
            return self._check(token, key, digest)
        return _UNAVAILABLE if self._keys.current is None else _unknown_key()

    def _header(self, token: bytes) -> Mapping[str, Any] | Refusal:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, RecursionError):
            return _invalid("it is not well-formed")
        if header.get("alg") not in self._rules.algorithms:
            return _invalid("its signature algorithm is not accepted here")
        return header

    def _find_key(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        if self._keys.current is None:
            return None
        return self._keys.current.find(header.get("kid"), header["alg"])

    def _check(self, token: bytes, key: jwt.PyJWK, digest: bytes) -> Verdict:
        try:
            claims = self._decoder.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                options=_CHECKED_BY_PYJWT,
            )
        except jwt.PyJWTError as error:
            return _invalid(_REASONS.get(type(error), "its signature or claims are not valid"))
        expires_at = _time(claims, "exp")
        if expires_at is None:
            return _invalid("its times are not numbers")
        refusal = self._check_times(claims, expires_at)
        if refusal is not None:
            return refusal
        grant = self._grant(claims)
        if isinstance(grant, Grant):
            self._remember(digest, grant, expires_at)
        return grant

    def _check_times(self, claims: Mapping[str, Any], expires_at: float) -> Refusal | None:
        at, leeway_s = self._now(), self._rules.leeway_s
        if at >= expires_at + leeway_s:
            return _EXPIRED
        if "nbf" not in claims:  # optional, and many issuers leave it out
            return None
        not_before = _time(claims, "nbf")
        if not_before is None:
            return _invalid("its times are not numbers")
        return _invalid("it is not valid yet") if at < not_before - leeway_s else None

    def _grant(self, claims: Mapping[str, Any]) -> Verdict:
        rules = self._rules
        actor_id = _text(claims, rules.id_claim)
        if actor_id is None:
            return Refusal(
                403,
                "unmapped_token",
                f"The token is valid, but its claim `{rules.id_claim}` names nobody. Ask the gateway's operator.",
            )
        return Grant(
            actor=Actor(
                id=actor_id,
                username=_text(claims, rules.username_claim) or actor_id,
                email=_text(claims, rules.email_claim),
                team=_text(claims, rules.team_claim),
            ),
            auth_source="jwt",
            bound_job=_text(claims, rules.job_claim) if rules.job_claim else None,
            may_claim_job=rules.may_claim_job,
            may_claim_user=rules.may_claim_user,
        )

    def _recall(self, digest: bytes) -> Grant | None:
        if self._verified_generation != self._keys.generation:
            self._verified.clear()  # a key may have been withdrawn
            self._verified_generation = self._keys.generation
        found = self._verified.get(digest)
        if found is None:
            return None
        grant, expires_at = found
        if self._now() >= expires_at + self._rules.leeway_s:
            del self._verified[digest]
            return None
        return grant

    def _remember(self, digest: bytes, grant: Grant, expires_at: float) -> None:
        if len(self._verified) >= _REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = (grant, expires_at)


# The times are checked by `_check_times`.
_CHECKED_BY_PYJWT: Options = {
    "require": ["exp", "iss", "aud"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.InvalidSignatureError: "its signature is not valid",
    jwt.InvalidIssuerError: "its issuer is not the one trusted here",
    jwt.InvalidAudienceError: "it was made for another audience",
    jwt.MissingRequiredClaimError: "it lacks one of the claims exp, iss and aud",
}


def _invalid(reason: str) -> Refusal:
    return Refusal(401, "invalid_token", f"The token was refused: {reason}. Get a new one from its issuer.")


def _unknown_key() -> Refusal:
    return _invalid("its issuer publishes no such signing key")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim as text; of a list of names, such as groups, the first. None for what is no name."""
    value: object = claims.get(name)
    if isinstance(value, list) and value:
        value = cast("list[object]", value)[0]
    # Nothing is altered to fit: two ids must not become one.
    return value if isinstance(value, str) and clean_claim(value) == value else None
