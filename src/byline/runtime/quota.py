"""The program's view of its quota: every answer of an instrumented client is kept for it.

Credentials are told apart by the provider's address, as more is not known of a client's key here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from byline.quota.notice import AccountContext, Notice
from byline.quota.notice import quota_notice as _notice
from byline.quota.snapshot import QuotaSnapshot
from byline.runtime.answers import keep_quota
from byline.runtime.kept_quota import KeptQuota

_kept = KeptQuota()
quota_snapshot = _kept.snapshot
on_quota_change = _kept.on_change

Account = AccountContext | Mapping[str, Any] | None
"""Who reads: `subscription_type`, `extra_usage_enabled`, `billing_access`, as far as known."""


def quota_notice(
    snapshot: QuotaSnapshot | None, model: str | None = None, account: Account = None
) -> Notice | None:
    """What a person should read about `snapshot`: code, severity, text; None if there is nothing to say."""
    return _notice(snapshot, model=model, account=_context(account))


def quota_warning(
    snapshot: QuotaSnapshot | None = None, *, model: str | None = None, account: Account = None
) -> str | None:
    """Text for a footer: warnings only. Without a snapshot, of what answered last."""
    notice = quota_notice(snapshot or _kept.snapshot(), model, account)
    return notice.text if notice is not None and notice.severity == "warning" else None


def quota_error(
    snapshot: QuotaSnapshot | None = None, *, model: str | None = None, account: Account = None
) -> str | None:
    """Text for the conversation: the limit that stopped a request. Without a snapshot, of what answered last."""
    notice = quota_notice(snapshot or _kept.snapshot(), model, account)
    return notice.text if notice is not None and notice.severity == "error" else None


def watch_quota() -> None:
    """From here on answers are kept."""
    keep_quota(_kept.keep)


def _context(account: Account) -> AccountContext | None:
    if account is None or isinstance(account, AccountContext):
        return account
    known = {name: account.get(name) for name in AccountContext.__struct_fields__}
    return AccountContext(**known)
