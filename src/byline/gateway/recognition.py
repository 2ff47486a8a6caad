"""Works out who a request is from and for, what is stamped on it, and who pays."""

from __future__ import annotations

from byline.gateway.auth.attribution import UserLookup, attribute
from byline.gateway.callers import MAX_CALLERS_PER_HEAD, Caller
from byline.gateway.exchange import Exchange
from byline.gateway.reading import read_request_claims
from byline.gateway.record import MAX_TEXT_CHARS, cut, describe
from byline.gateway.upstream_head import credential_for, start_upstream_head
from byline.identity.identifier import decide
from byline.identity.model import Attribution


class Recognizer:
    def __init__(self, users: UserLookup, gateway_id: str) -> None:
        self._users = users
        self._gateway_id = gateway_id

    def attribute(self, exchange: Exchange) -> Attribution:
        """Claims come out of the very field that is overwritten afterwards."""
        return attribute(exchange.grant, read_request_claims(exchange), self._users)

    def recognize(self, exchange: Exchange) -> Caller:
        """Raises Refused where our own provider key is missing."""
        known, facts = exchange.known, exchange.required_facts
        if known is None or facts.client_metadata or len(facts.client_identifier or "") > MAX_TEXT_CHARS:
            return self._work_out(exchange)
        caller = known.callers.get(facts.client_identifier)
        if caller is None:
            if len(known.callers) >= MAX_CALLERS_PER_HEAD:
                known.callers.clear()
            caller = known.callers[facts.client_identifier] = self._work_out(exchange)
        return caller

    def _work_out(self, exchange: Exchange) -> Caller:
        route = exchange.required_route
        provider = route.provider
        policy = provider.client_credential_policy if exchange.pays_itself else provider.policy
        exchange.attribution = attribution = self.attribute(exchange)
        client_value = exchange.required_facts.client_identifier
        decision = decide(attribution, client_value, policy) if route.api.identity_field else None
        record = describe(exchange, self._gateway_id)
        record.credential, credential_line = credential_for(exchange, attribution.subject)
        if decision is not None:
            record.identifier = decision.identifier
            record.identity_action = decision.action
            record.metadata_user_id = cut(client_value if decision.value is None else decision.value)
        head_start = start_upstream_head(exchange, credential_line)
        return Caller(attribution, decision, policy.policy == "overwrite", record, head_start)
