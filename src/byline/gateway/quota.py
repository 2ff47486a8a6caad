"""What upstream answers say of their limits: onto the row, and kept per credential across restarts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from byline.gateway.http1.response_head import ResponseHead
from byline.gateway.provider import CLIENT_CREDENTIAL
from byline.quota.early_warning import DEFAULT_RULES, EarlyWarningRules
from byline.quota.merging import LatestQuota
from byline.quota.reading import read_quota
from byline.quota.snapshot import QuotaSnapshot
from byline.usage.record import UsageRecord

MAX_KEPT_BLOCKS = 512
_encode = msgspec.json.Encoder().encode
_UNSAID: Mapping[str, object] = {"raw": {}, "credential": None, "observed_at": 0}
"""Left out of the row: its own columns say them, and `raw` would double it."""

Block = tuple[object, ...]


class CredentialQuota(msgspec.Struct, frozen=True):
    """The latest of one upstream credential, as kept on disk."""

    provider: str
    credential: str
    snapshot: QuotaSnapshot


class _Said(msgspec.Struct, frozen=True):
    """What certain lines meant within a certain second."""

    lines: tuple[bytes, ...]
    second: int
    status: int
    snapshot: QuotaSnapshot
    on_row: msgspec.Raw


class QuotaWatch:
    """One per worker. Most answers repeat the quota lines of the one before: those are read once."""

    def __init__(self, path: Path, known: Iterable[CredentialQuota] = ()) -> None:
        self._path = path
        self._latest: dict[tuple[str, str], LatestQuota] = {}
        for each in known:
            self._of(each.provider, each.credential).observe(each.snapshot)
        self._seen: dict[Block, _Said] = {}
        self._last: _Said | None = None
        self._observed: dict[tuple[str, str | None], QuotaSnapshot] = {}
        """The last of each credential, as read: its like is no news."""
        self._changed = False
        self._rules = DEFAULT_RULES

    def warn_by(self, rules: EarlyWarningRules) -> None:
        """From the next answer on."""
        self._rules = rules
        self._seen.clear()
        self._last = None

    def take(self, head: ResponseHead, now: float, whose: UsageRecord) -> msgspec.Raw:
        """What the head says of the limits of `whose` credential, as it stands on the row."""
        said, second = self._last, int(now)
        # Within a second the same lines mean the same, durations and elapsed times included.
        if (
            said is None
            or said.lines is not head.quota
            or said.second != second
            or said.status != head.status
        ):
            block = (head.status, second, *head.quota)
            self._last = said = self._seen.get(block) or self._read(block, head, now)
        snapshot, credential = said.snapshot, whose.credential
        if (
            credential != CLIENT_CREDENTIAL
            and self._observed.get((whose.provider, credential)) is not snapshot
        ):
            self._keep(whose.provider, credential, snapshot)
        return said.on_row

    def write(self) -> None:
        """Replaces the file whole if anything is new. A full disk leaves the old one."""
        if not self._changed:
            return
        self._changed = False
        kept = [
            CredentialQuota(provider, credential, snapshot)
            for (provider, credential), latest in self._latest.items()
            for snapshot in latest.all()
        ]
        fresh = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(_encode(kept))
            os.replace(fresh, self._path)  # noqa: PTH105
        except OSError:
            self._changed = True

    def _read(self, block: Block, head: ResponseHead, now: float) -> _Said:
        headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(head.values())
        }
        snapshot = read_quota(headers, status_code=head.status, now=now, rules=self._rules)
        if len(self._seen) >= MAX_KEPT_BLOCKS:
            self._seen.clear()
        said = self._seen[block] = _Said(head.quota, int(now), head.status, snapshot, on_row(snapshot))
        return said

    def _keep(self, provider: str, credential: str | None, snapshot: QuotaSnapshot) -> None:
        self._observed[provider, credential] = snapshot
        self._of(provider, credential or "default").observe(snapshot)
        self._changed = True

    def _of(self, provider: str, credential: str) -> LatestQuota:
        return self._latest.setdefault((provider, credential), LatestQuota())


def on_row(snapshot: QuotaSnapshot) -> msgspec.Raw:
    """Compact: what stands at its default is left out."""
    return msgspec.Raw(_encode(msgspec.structs.replace(snapshot, **_UNSAID)))


def read_kept(directory: Path) -> list[CredentialQuota]:
    """What all workers kept, the newest of each credential; files that can't be read are passed over."""
    newest: dict[tuple[str, str], CredentialQuota] = {}
    for path in sorted(directory.glob("quota-*.json")):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[CredentialQuota])
        except (OSError, msgspec.MsgspecError):
            continue
        for each in found:
            known = newest.get((each.provider, each.credential))
            if known is None or known.snapshot.observed_at < each.snapshot.observed_at:
                newest[each.provider, each.credential] = each
    return list(newest.values())
