"""Puts the identifier into the provider's own field. The only place that knows both who and which API."""

from __future__ import annotations

from byline.apis.api import Api, RequestFacts, Stamped
from byline.gateway.exchange import Exchange, Tally, UpstreamRequest
from byline.gateway.record import open_record
from byline.gateway.upstream_head import credential_for, write_upstream_head
from byline.identity.identifier import decide
from byline.usage.record import UsageRecord


def stamp(exchange: Exchange, gateway_id: str, tally: Tally) -> None:
    """Opens the row and makes the request that goes upstream. Raises Refused."""
    route = exchange.required_route
    record = exchange.record = open_record(exchange, gateway_id)
    record.credential, credential_line = credential_for(exchange, route)
    facts = exchange.facts
    assert facts is not None
    stamped = _stamp_body(exchange, route.api, facts, record, tally)
    exchange.body = b""
    method = exchange.head.line.method
    length = None if method in {b"GET", b"HEAD"} and not stamped.length else stamped.length
    upstream_head = write_upstream_head(exchange, route, credential_line, length)
    exchange.request = UpstreamRequest(upstream_head, stamped.segments, method == b"HEAD")


def _stamp_body(
    exchange: Exchange, api: Api, facts: RequestFacts, record: UsageRecord, tally: Tally
) -> Stamped:
    provider = exchange.required_route.provider
    policy = provider.client_credential_policy if exchange.pays_itself else provider.policy
    if not api.identity_field:
        return api.stamp(facts, None)
    decision = decide(exchange.required_attribution, facts.client_identifier, policy)
    for count in decision.counts:
        tally[count] += 1
    record.identifier = decision.identifier
    record.identity_action = decision.action
    record.metadata_user_id = facts.client_identifier if decision.value is None else decision.value
    exchange.hides_usage = provider.ask_for_usage and facts.streaming and not facts.asks_for_usage
    return api.stamp(
        facts,
        decision.value,
        overwrite_other_field=policy.policy == "overwrite",
        ask_for_usage=exchange.hides_usage,
    )
