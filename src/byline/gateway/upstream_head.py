"""The head of the request that goes upstream: what travels, and what is ours.

Everything end to end travels as its bytes came; credentials, hop-by-hop lines, cookies, forwarding
and identity headers never do.
"""

from __future__ import annotations

from byline.gateway.attempt_columns import traceparent
from byline.gateway.auth.credentials import holds_byline_key
from byline.gateway.exchange import Exchange
from byline.gateway.http1.fields import Travel
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.provider import CLIENT_CREDENTIAL, Provider
from byline.gateway.refusals import Refused
from byline.gateway.routes import Route
from byline.identity.model import Actor
from byline.usage.record import AttemptColumns


def start_upstream_head(exchange: Exchange, credential_line: bytes) -> bytes:
    """All lines that are the same for every request of this client. Raises Refused."""
    head, route = exchange.head, exchange.required_route
    if holds_byline_key(head.line.target):
        raise Refused(
            400, "invalid_request", "a Byline key stands in the request's path or query: send it in a header"
        )
    lines = [
        _request_line(head, route),
        b"Host: " + route.provider.pool.origin.authority.encode("ascii"),
        *_travelling(head, route.provider, exchange.pays_itself),
        # Identity, so that usage can be read from the answer as it passes.
        b"Accept-Encoding: identity",
    ]
    if credential_line:
        lines.append(credential_line)
    return b"\r\n".join(lines) + b"\r\n"


def end_upstream_head(provider: Provider, columns: AttemptColumns, body_length: int | None) -> bytes:
    """The lines that differ. `body_length` None: a request without a body."""
    end = b"\r\n" if body_length is None else b"Content-Length: %d\r\n\r\n" % body_length
    if provider.forward_traceparent:
        return b"traceparent: " + traceparent(columns) + b"\r\n" + end
    return end


def credential_for(exchange: Exchange, subject: Actor) -> tuple[str, bytes]:
    """Name for the row, and the line to send. Raises Refused where our own key is missing."""
    own = exchange.admission.client_credential if exchange.admission else None
    if own is not None:
        name, value = own
        return CLIENT_CREDENTIAL, name + b": " + value
    credential = exchange.required_route.provider.credential_for(exchange.grant, subject)
    return credential.name, credential.header_line


def _request_line(head: RequestHead, route: Route) -> bytes:
    pool = route.provider.pool
    target = route.upstream_path + head.line.query
    if pool.proxy is not None and pool.origin.scheme == "http":
        target = f"http://{pool.origin.authority}".encode("ascii") + target
    return head.line.method + b" " + target + b" HTTP/1.1"


def _travelling(head: RequestHead, provider: Provider, own_credential: bool) -> list[bytes]:
    allowed = {Travel.UPSTREAM}
    if own_credential or provider.forward_organization:
        allowed.add(Travel.OWN_CREDENTIAL_ONLY)
    hop_by_hop = head.connection_options
    return [
        field.line
        for field in head.fields
        if field.travel in allowed and field.name not in hop_by_hop and not holds_byline_key(field.line)
    ]
