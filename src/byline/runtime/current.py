"""Who this program acts for right now: what `identify` said, else what the environment says.

The environment is read at each call and parsed when it has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Final

from byline._build import BUILD
from byline.identity.environment import (
    MAX_LENGTH_VARIABLE,
    CarriedIdentity,
    IdentityRefused,
    check_sendable,
    max_length,
    read_identity,
    variables,
)
from byline.identity.identifier import identity_hash
from byline.runtime.quiet import warn_once

if BUILD == "internal":
    import byline.identity._internal  # noqa: F401  # pyright: ignore[reportUnusedImport] - contributes itself

HASH_KEY_VARIABLE: Final = "BYLINE_HASH_KEY"
_NAMES: Final = tuple(os.fsencode(name) for name in (*variables(), MAX_LENGTH_VARIABLE))
_SHORT_HASH_CHARS: Final = 32

# Every call looks here. The mapping itself encodes, decodes and raises for each name that is missing:
# with the plain dict inside it, a call costs a third less. Where there is none, the mapping will do.
_look_up: Callable[[bytes], bytes | None] = getattr(os.environ, "_data", os.environb).get

_identified: ContextVar[CarriedIdentity | None] = ContextVar("byline_identity", default=None)
_known: tuple[tuple[bytes | None, ...], CarriedIdentity | None] = ((), None)
"""What the variables said when they were last read, and what it meant."""


def current_identity() -> CarriedIdentity | None:
    """What a call made now carries, unless the call itself names somebody. Never raises."""
    known_texts, identity = _known
    if tuple(map(_look_up, _NAMES)) == known_texts:
        return _identified.get() or identity
    return _identified.get() or environment_identity()


identified = _identified.get
"""What `identify` said, without a look at the environment."""


def environment_identity() -> CarriedIdentity | None:
    global _known
    texts = tuple(map(_look_up, _NAMES))
    known_texts, identity = _known
    if texts != known_texts:
        identity = _read()
        _known = (texts, identity)  # one assignment, so that another thread sees both or neither
    return identity


def _read() -> CarriedIdentity | None:
    try:
        return read_identity(os.environ)
    except IdentityRefused as refused:
        warn_once(str(refused))
        return None


def identify(*, user: str | None = None, job: str | None = None) -> Identified:
    """From here on this context (thread, task) acts for `user` and `job`.

    What isn't given stays as it was. As `with byline.identify(...):` it ends with the block. A user
    that no provider would accept, such as an email address, is sent as a hash.
    """
    if user is None and job is None:
        raise TypeError("identify() needs a user, a job, or both")
    before = _identified.get()
    outer = before or environment_identity()
    named_user = _acceptable(user) if user is not None else outer and outer.user
    named_job = _acceptable(job) if job is not None else outer and outer.job
    _identified.set(make_identity(named_user or None, named_job or None))
    return Identified(before)


class Identified:
    """Ends what `identify` began, for those who use it as a context manager."""

    __slots__ = ("_before",)

    def __init__(self, before: CarriedIdentity | None) -> None:
        self._before = before

    def __enter__(self) -> None:
        """`identify` itself has done it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not by a token: a generator may be closed in another context than it was begun in.
        _identified.set(self._before)


def make_identity(user: str | None, job: str | None) -> CarriedIdentity | None:
    """The document as it is sent; None for nobody and nothing."""
    members = {name: value for name, value in (("user", user), ("job", job)) if value}
    if not members:
        return None
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if len(text) > max_length(os.environ):
        text = hashed(text)
    return CarriedIdentity(text, user, job)


def hashed(text: str) -> str:
    """64 hex digits. Keyed where BYLINE_HASH_KEY is set; without, whoever guesses a name can verify it."""
    return identity_hash(os.environ.get(HASH_KEY_VARIABLE, "").encode("utf-8", "surrogateescape"), text)


def _acceptable(name: str) -> str:
    try:
        check_sendable("A name given to byline.identify", name)
    except IdentityRefused:
        return hashed(name)[:_SHORT_HASH_CHARS]
    return name
