"""Puts the identifier into the provider's own field and opens the row."""

from __future__ import annotations

from byline.apis.api import Stamped
from byline.gateway.callers import Caller
from byline.gateway.exchange import Exchange, Tally, UpstreamRequest
from byline.gateway.record import know_columns
from byline.gateway.upstream_head import end_upstream_head


def stamp(exchange: Exchange, caller: Caller, tally: Tally) -> None:
    """Makes the request that goes upstream; every byte of the body but the identity stays.

    A repeat comes here stamped, and is only counted.
    """
    if exchange.request is None:
        exchange.attribution = caller.attribution
        exchange.known_columns = know_columns(exchange, caller.record)
        stamped = stamp_body(exchange, caller)
        method = exchange.head.line.method
        has_body = stamped.length > 0 or method not in {b"GET", b"HEAD"}
        provider, length = exchange.required_route.provider, stamped.length if has_body else None
        head = caller.head_start + end_upstream_head(provider, exchange.columns, length)
        exchange.request = UpstreamRequest(head, stamped.segments, method == b"HEAD")
        exchange.facts = exchange.required_facts.without_body()
    if caller.decision is not None:
        for count in caller.decision.counts:
            tally[count] += 1


def stamp_body(exchange: Exchange, caller: Caller) -> Stamped:
    route, facts, decision = exchange.required_route, exchange.required_facts, caller.decision
    exchange.hides_usage = facts.streaming and not facts.asks_for_usage and route.provider.ask_for_usage
    return route.api.stamp(
        facts,
        None if decision is None else decision.value,
        overwrite_other_field=caller.overwrites,
        ask_for_usage=exchange.hides_usage,
    )
