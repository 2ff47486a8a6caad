"""What a request's body asks, and what the request says about itself."""

from __future__ import annotations

from byline.apis.api import BodyError, RequestFacts
from byline.gateway.exchange import Exchange
from byline.gateway.http1.content import decode_body
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.refusals import Refused, kind_of_status
from byline.identity.claims import read_claims
from byline.identity.model import Claims


def read_body(exchange: Exchange, body: bytes, max_body_bytes: int) -> RequestFacts:
    """A body that gateway and provider could read differently is refused."""
    exchange.body_at = exchange.clock.monotonic()
    try:
        if exchange.head.content_encoding:
            body = decode_body(body, exchange.head.content_encoding, max_body_bytes)
        exchange.body_length = len(body)
        facts = exchange.required_route.api.read_request(body)
    except ProtocolError as error:
        raise Refused(error.status, kind_of_status(error.status), str(error)) from None
    except BodyError as error:
        raise Refused(400, "invalid_request", str(error)) from None
    if facts.background:
        message = (
            "`background: true` is answered later, where Byline can't count it: send the request without it"
        )
        raise Refused(400, "unsupported", message)
    return facts


def read_request_claims(exchange: Exchange) -> Claims:
    facts = exchange.facts
    metadata_user_id = None if facts is None else facts.client_identifier
    return read_claims(exchange.head.read, metadata_user_id, {} if facts is None else facts.client_metadata)
