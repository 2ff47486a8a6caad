"""A program's own view of its quota: fed by the hooks of the official clients, read by the program.

Reading never blocks and never raises. Listeners are called in the thread that saw the answer; one
that fails is counted and otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from byline.quota.merging import LatestQuota
from byline.quota.notice import AccountContext, Notice, quota_notice, transition_notice
from byline.quota.reading import read_quota
from byline.quota.snapshot import QuotaSnapshot

Listener = Callable[[QuotaSnapshot, Notice | None], object]
"""Called with the new snapshot, and with the one-time notice of a transition if this is one."""


class QuotaRuntime:
    def __init__(self) -> None:
        self._latest = LatestQuota()
        self._listeners: list[Listener] = []
        self.failed_listeners = 0

    @property
    def has_listeners(self) -> bool:
        return bool(self._listeners)

    def observe(
        self,
        headers: Mapping[str, str],
        *,
        now: float,
        status_code: int = 200,
        credential: str | None = None,
        message: str | None = None,
    ) -> None:
        """What a client hook calls with each answer. `credential` tells several accounts apart."""
        news = self.take(headers, now=now, status_code=status_code, credential=credential, message=message)
        if news is not None:
            self.tell(*news)

    def take(
        self,
        headers: Mapping[str, str],
        *,
        now: float,
        status_code: int = 200,
        credential: str | None = None,
        message: str | None = None,
    ) -> tuple[QuotaSnapshot, Notice | None] | None:
        """Half of `observe`, for one thread at a time: gives what is to be told, which may take as long as it will."""
        snapshot = read_quota(
            headers, status_code=status_code, now=now, credential=credential, message=message
        )
        before = self._latest.get(credential)
        changed = self._latest.observe(snapshot)
        return None if changed is None else (changed, transition_notice(before, changed))

    def tell(self, snapshot: QuotaSnapshot, transition: Notice | None) -> None:
        for listener in list(self._listeners):
            try:
                listener(snapshot, transition)
            except Exception:  # noqa: BLE001 - a listener's failure is not the program's
                self.failed_listeners += 1

    def snapshot(self, credential: str | None = None) -> QuotaSnapshot | None:
        """The latest of `credential`; without one, of the credential that answered last."""
        return self._latest.newest() if credential is None else self._latest.get(credential)

    def warning(
        self,
        snapshot: QuotaSnapshot | None = None,
        *,
        model: str | None = None,
        account: AccountContext | None = None,
    ) -> str | None:
        """Text for a footer: warnings only, never an error."""
        notice = quota_notice(snapshot or self.snapshot(), model=model, account=account)
        return notice.text if notice is not None and notice.severity == "warning" else None

    def error(
        self,
        snapshot: QuotaSnapshot | None = None,
        *,
        model: str | None = None,
        account: AccountContext | None = None,
    ) -> str | None:
        """Text for the conversation: what stopped the request, if a limit did."""
        notice = quota_notice(snapshot or self.snapshot(), model=model, account=account)
        return notice.text if notice is not None and notice.severity == "error" else None

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Registers `listener`; calling what is returned takes it off again."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove
