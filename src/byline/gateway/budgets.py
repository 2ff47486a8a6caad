"""Budgets in the request's way: reserve at admission, settle with the real use, release on failure.

With counters in the worker everything happens at once; with a shared store admission waits for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from byline.budgets.book import NOTHING, Applied, BudgetBook, Caller, Verdicts
from byline.budgets.counters import CountersUnavailable, Hold, LocalStore, Reserved, SharedStore
from byline.budgets.estimate import Estimate, Estimator
from byline.budgets.limits import Budget
from byline.budgets.periods import Calendar
from byline.gateway.budget_refusals import counters_unavailable, model_not_allowed, over_budget
from byline.gateway.exchange import Exchange, Tally
from byline.gateway.reservation import Reservation
from byline.identity.model import Attribution
from byline.usage.record import UsageRecord

log = logging.getLogger(__name__)
_NO_ESTIMATE = Estimate(0, 0, 0, 0)
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
        self._local = local
        self._shared = shared
        self._estimator = estimator
        self._cost_of = cost_of
        self._contact_for = contact_for
        self._tally = tally
        self._options = options
        self._calendar = Calendar()

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
            reserved = self._local.reserve(reservation.reservation_id, reservation.holds, now)
            self._decide(exchange, reservation, reserved, now)
            return None
        return self._admit_later(exchange, reservation, now)

    def settle(self, exchange: Exchange, record: UsageRecord, *, sent: bool) -> None:
        """The attempt is over and its row complete."""
        reservation = exchange.reservation
        if reservation is None:
            return
        cost = self._cost_of(record) if any(each.metric == "usd" for each in reservation.applied) else None
        whole = record.usage_complete is True and record.output_tokens is not None
        bills_reserved = sent and not whole and record.outcome in _BILLED_AS_RESERVED
        actual = [
            self._actual(each, hold, record, cost, sent=sent, at_least=hold.amount if bills_reserved else 0)
            for each, hold in zip(reservation.applied, reservation.holds, strict=True)
        ]
        self._end(exchange, actual)
        if whole and record.outcome == "ok":
            self._learn(exchange, record, cost)

    def release(self, exchange: Exchange) -> None:
        """Nothing was sent."""
        if exchange.reservation is not None:
            self._end(exchange, [0] * len(exchange.reservation.holds))

    def _verdicts(self, exchange: Exchange, attribution: Attribution) -> Verdicts:
        subject = attribution.subject
        model = exchange.required_facts.model
        return self.book.verdicts(
            Caller(subject.username, attribution.job, subject.team, attribution.key_id, model)
        )

    def _check_model(self, exchange: Exchange, verdicts: Verdicts) -> None:
        budget = verdicts.denied_by[0]
        self._note_over(budget, f"models:{budget.scope}:{budget.name}")
        if budget.mode == "hard":
            model = exchange.required_facts.model or ""
            raise model_not_allowed(budget, model, budget.name, self._contact_for(budget, budget.name))

    def _plan(self, exchange: Exchange, verdicts: Verdicts, now: float) -> Reservation:
        applied = verdicts.applied
        if exchange.pays_itself and verdicts.uses_money:
            applied = tuple(each for each in applied if each.metric != "usd")
        estimate = _NO_ESTIMATE
        if verdicts.uses_money or verdicts.uses_tokens:
            facts = exchange.required_facts
            estimate = self._estimator.estimate(
                exchange.required_route.provider.name,
                facts.model,
                exchange.body_length,
                facts.max_output_tokens,
                money=verdicts.uses_money,
            )
        reservation = Reservation(
            exchange.exchange_id, applied, self._holds(applied, estimate, now), estimate
        )
        reservation.strips = (
            verdicts.has_own_money and self._options.strips_upstream_quota and not exchange.pays_itself
        )
        return reservation

    def _holds(self, applied: Sequence[Applied], estimate: Estimate, now: float) -> list[Hold]:
        holds: list[Hold] = []
        for each in applied:
            amount = 1
            if each.metric == "usd":
                amount = estimate.micros
            elif each.metric == "tokens":
                amount = estimate.tokens
            name, ends_at = "", 0.0
            if each.period is not None and each.period != "minute":
                window = self._calendar.window(each.period, now)
                name, ends_at = window.name, window.ends_at
            holds.append(Hold(each.counter, each.period, name, ends_at, amount, each.limit, each.is_hard))
        return holds

    async def _admit_later(self, exchange: Exchange, reservation: Reservation, now: float) -> None:
        assert self._shared is not None
        try:
            reserved = await self._shared.reserve(reservation.reservation_id, reservation.holds, now)
        except CountersUnavailable:
            self._tally["budgets_unchecked"] += 1
            if self._options.on_failure == "fail_closed":
                raise counters_unavailable(exchange.family) from None
            return
        self._decide(exchange, reservation, reserved, now)

    def _decide(self, exchange: Exchange, reservation: Reservation, reserved: Reserved, now: float) -> None:
        if reserved.refused is not None:
            raise self._refusal(exchange, reservation, reserved, reserved.refused, now)
        exchange.reservation = reservation
        fullest = 0.0
        for each, hold, used in zip(
            reservation.applied, reservation.holds, reserved.used_before, strict=True
        ):
            if not each.is_hard and used + hold.amount > hold.limit:
                self._note_over(each.budget, each.counter)
            if each.metric == "usd" and each.budget.mode != "shadow":
                share = used / hold.limit if hold.limit else 1.0
                if reservation.shown is None or share > fullest:
                    fullest, reservation.shown = share, (share, hold.ends_at)

    def _refusal(
        self, exchange: Exchange, reservation: Reservation, reserved: Reserved, index: int, now: float
    ) -> Exception:
        each, hold = reservation.applied[index], reservation.holds[index]
        wait_s = reserved.retry_after_s or max(hold.ends_at - now, 0.0)
        contact = self._contact_for(each.budget, each.entity)
        return over_budget(exchange.family, each, reserved.used_before[0], hold.amount, wait_s, now, contact)

    def _note_over(self, budget: Budget, counter: str) -> None:
        self._tally[f"budget_over_{budget.mode}"] += 1
        if budget.mode != "hard":
            self.over[counter] += 1

    def _actual(
        self, each: Applied, hold: Hold, record: UsageRecord, cost: int | None, *, sent: bool, at_least: int
    ) -> int:
        match each.metric:
            case "usd":
                return max(cost or 0, at_least)
            case "tokens":
                return max((record.input_tokens or 0) + (record.output_tokens or 0), at_least)
            case "requests":
                return hold.amount if sent else 0
            case _:
                return 0

    def _end(self, exchange: Exchange, actual: Sequence[int]) -> None:
        reservation, exchange.reservation = exchange.reservation, None
        assert reservation is not None
        store = self._local or self._shared
        assert store is not None
        store.settle(reservation.reservation_id, reservation.holds, actual, exchange.clock.wall())

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
