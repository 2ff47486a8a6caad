"""Budgets in the request's way: reserve at admission, settle with the real use, release on failure.

With counters in the worker everything happens at once; with a shared store admission waits for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from byline.budgets.book import NOTHING, BudgetBook, Caller, Verdicts, counter_name
from byline.budgets.counters import CountersUnavailable, LocalStore, Reserved, SharedStore
from byline.budgets.estimate import Estimate, Estimator
from byline.budgets.limits import Budget
from byline.budgets.periods import window_at
from byline.gateway.budget_refusals import counters_unavailable, model_not_allowed, over_budget
from byline.gateway.exchange import Exchange, Tally
from byline.gateway.refusals import Refused
from byline.gateway.reservation import Reservation
from byline.identity.model import Attribution
from byline.usage.record import UsageRecord

log = logging.getLogger(__name__)
MAX_COUNTED = 10_000
"""Sums whose refusals are counted one by one: names of jobs may come from clients."""
_NO_ESTIMATE = Estimate(0, 0)
_BILLED_AS_RESERVED = frozenset({"client_disconnect", "interrupted", "ok"})
"""Outcomes after which use that is not fully known counts as much as was reserved: hanging up saves nothing."""


class BudgetOptions(msgspec.Struct, frozen=True):
    on_failure: Literal["fail_open", "fail_closed"] = "fail_open"
    """When the shared store can't be asked."""
    strips_upstream_quota: bool = True


class CostOf(Protocol):
    def __call__(self, record: UsageRecord) -> int | None:
        """Millionths of a dollar; None where no price or no usage is known."""
        ...


ContactFor = Callable[[Budget, str], str]


class BudgetGate:
    """One per worker. The book may be replaced at any time; what is in flight settles by the old one."""

    def __init__(
        self,
        *,
        local: LocalStore | None,
        shared: SharedStore | None,
        estimator: Estimator,
        cost_of: CostOf,
        contact_for: ContactFor,
        tally: Tally,
        options: BudgetOptions,
    ) -> None:
        """Exactly one of `local` and `shared`."""
        self.book = BudgetBook()
        self.over: Counter[str] = Counter()
        """Requests that a soft or shadow budget would have refused, by counter."""
        self.refused: Counter[str] = Counter()
        """Requests that a hard one did refuse."""
        self._local = local
        self._shared = shared
        self._estimator = estimator
        self._cost_of = cost_of
        self._contact_for = contact_for
        self._tally = tally
        self._options = options

    def admit(self, exchange: Exchange) -> Awaitable[None] | None:
        """Raises Refused; awaitable where a shared store must be asked, and then raises there."""
        if not self.book.budgets or not exchange.required_route.api.identity_field:
            return None  # counting tokens and listing models is never held against anybody
        attribution = exchange.attribution
        verdicts = NOTHING if attribution is None else self._verdicts(exchange, attribution)
        if verdicts.denied_by:
            self._check_model(exchange, verdicts)
        if not verdicts.applied:
            return None
        now = exchange.clock.wall()
        reservation = self._plan(exchange, verdicts, now)
        if self._local is not None:
            reserved = self._local.reserve(
                reservation.reservation_id, reservation.applied, reservation.amounts, now
            )
            self._decide(exchange, reservation, reserved, now)
            return None
        return self._admit_later(exchange, reservation, now)

    def settle(self, exchange: Exchange, record: UsageRecord, *, sent: bool) -> None:
        """The attempt is over and its row complete."""
        reservation = exchange.reservation
        if reservation is None:
            return
        whole = record.usage_complete is True and record.output_tokens is not None
        bills_reserved = sent and not whole and record.outcome in _BILLED_AS_RESERVED
        cost: int | None = None
        actual: list[int] = []
        for each, amount in zip(reservation.applied, reservation.amounts, strict=True):
            metric = each.metric
            if metric == "usd":
                cost = self._cost_of(record) if cost is None else cost
                used = cost or 0
            elif metric == "tokens":
                used = (record.input_tokens or 0) + (record.output_tokens or 0)
            else:
                actual.append(amount if metric == "requests" and sent else 0)
                continue
            actual.append(max(used, amount) if bills_reserved else used)
        self._end(exchange, actual)
        if (
            whole
            and record.outcome == "ok"
            and self._estimator.wants_to_learn(record.provider, exchange.required_facts.model)
        ):
            self._learn(exchange, record, cost)

    def release(self, exchange: Exchange) -> None:
        """Nothing was sent."""
        if exchange.reservation is not None:
            self._end(exchange, [0] * len(exchange.reservation.amounts))

    def _verdicts(self, exchange: Exchange, attribution: Attribution) -> Verdicts:
        subject = attribution.subject
        model = exchange.required_facts.model
        return self.book.verdicts(
            Caller(subject.username, attribution.job, subject.team, attribution.key_id, model)
        )

    def _check_model(self, exchange: Exchange, verdicts: Verdicts) -> None:
        budget = verdicts.denied_by[0]
        self._note_over(budget, counter_name(budget.kind, budget.scope, budget.name))
        if budget.mode == "hard":
            model = exchange.required_facts.model or ""
            raise model_not_allowed(budget, model, budget.name, self._contact_for(budget, budget.name))

    def _plan(self, exchange: Exchange, verdicts: Verdicts, now: float) -> Reservation:
        applied = verdicts.applied
        if verdicts.uses_money and exchange.pays_itself:
            applied = tuple(each for each in applied if each.metric != "usd")
        estimate = _NO_ESTIMATE
        if verdicts.uses_money or verdicts.uses_tokens:
            facts = exchange.required_facts
            provider = exchange.required_route.provider.name
            estimate = self._estimator.estimate(
                provider, facts.model, exchange.body_length, facts.max_output_tokens
            )
        amounts = [
            estimate.micros if each.metric == "usd" else estimate.tokens if each.metric == "tokens" else 1
            for each in applied
        ]
        reservation = Reservation(exchange.exchange_id, applied, amounts, now)
        if verdicts.has_own_money:
            reservation.strips = self._options.strips_upstream_quota and not exchange.pays_itself
        return reservation

    async def _admit_later(self, exchange: Exchange, reservation: Reservation, now: float) -> None:
        assert self._shared is not None
        try:
            reserved = await self._shared.reserve(
                reservation.reservation_id, reservation.applied, reservation.amounts, now
            )
        except CountersUnavailable:
            self._tally["budgets_unchecked"] += 1
            if self._options.on_failure == "fail_closed":
                raise counters_unavailable(exchange.family) from None
            return
        self._decide(exchange, reservation, reserved, now)

    def _decide(self, exchange: Exchange, reservation: Reservation, reserved: Reserved, now: float) -> None:
        if reserved.refused is not None:
            each = reservation.applied[reserved.refused]
            self._note_over(each.budget, each.counter)
            raise self._refusal(exchange, reservation, reserved, reserved.refused, now)
        exchange.reservation = reservation
        for index, each in enumerate(reservation.applied):
            used = reserved.used_before[index]
            if not each.is_hard and used + reservation.amounts[index] > each.limit:
                self._note_over(each.budget, each.counter)
            if each.metric == "usd" and each.budget.mode != "shadow":
                share = used / each.limit if each.limit else 1.0
                if reservation.shown is None or share > reservation.shown[0]:
                    reservation.shown = share, each

    def _refusal(
        self, exchange: Exchange, reservation: Reservation, reserved: Reserved, index: int, now: float
    ) -> Refused:
        each, needed = reservation.applied[index], reservation.amounts[index]
        wait_s = reserved.retry_after_s
        if each.period is not None and each.period != "minute":
            wait_s = window_at(each.period, now).ends_at - now
        contact = self._contact_for(each.budget, each.entity)
        return over_budget(exchange.family, each, reserved.used_before[0], needed, wait_s, now, contact)

    def _note_over(self, budget: Budget, counter: str) -> None:
        self._tally[f"budget_over_{budget.mode}"] += 1
        counts = self.refused if budget.mode == "hard" else self.over
        if len(counts) < MAX_COUNTED or counter in counts:
            counts[counter] += 1

    def _end(self, exchange: Exchange, actual: Sequence[int]) -> None:
        reservation, exchange.reservation = exchange.reservation, None
        assert reservation is not None
        store = self._local or self._shared
        assert store is not None
        store.settle(
            reservation.reservation_id, reservation.applied, reservation.amounts, actual, reservation.at
        )

    def _learn(self, exchange: Exchange, record: UsageRecord, cost: int | None) -> None:
        facts = exchange.required_facts
        self._estimator.learn(
            record.provider,
            facts.model,
            body_bytes=exchange.body_length,
            max_output=facts.max_output_tokens,
            input_tokens=record.input_tokens or 0,
            output_tokens=record.output_tokens or 0,
            cost_micros=cost,
        )
