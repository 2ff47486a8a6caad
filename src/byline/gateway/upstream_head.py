"""The head of the request that goes upstream: what travels, and what is ours.

Everything end to end travels as its bytes came; credentials, hop-by-hop lines, cookies, forwarding
and identity headers never do.
"""

from __future__ import annotations

from byline.gateway.exchange import Exchange
from byline.gateway.http1.fields import Travel
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.provider import CLIENT_CREDENTIAL, Provider
from byline.gateway.routes import Route


def write_upstream_head(
    exchange: Exchange, route: Route, credential_line: bytes, body_length: int | None
) -> bytes:
    """`body_length` None: a request without a body."""
    head, provider = exchange.head, route.provider
    lines = [
        _request_line(head, route),
        b"Host: " + provider.pool.origin.authority.encode("ascii"),
        *_travelling(head, provider, exchange.pays_itself),
        credential_line,
        # Identity, so that usage can be read from the answer as it passes.
        b"Accept-Encoding: identity",
    ]
    if provider.forward_traceparent:
        lines.append(b"traceparent: " + exchange.trace.traceparent())
    if body_length is not None:
        lines.append(b"Content-Length: %d" % body_length)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _request_line(head: RequestHead, route: Route) -> bytes:
    pool = route.provider.pool
    target = route.upstream_path + head.line.query
    if pool.proxy is not None and pool.origin.scheme == "http":
        target = f"http://{pool.origin.authority}".encode("ascii") + target
    return head.line.method + b" " + target + b" HTTP/1.1"


def _travelling(head: RequestHead, provider: Provider, own_credential: bool) -> list[bytes]:
    if not (own_credential or provider.forward_organization or head.connection_options):
        return [field.line for field in head.fields if not field.travel]
    allowed = {Travel.UPSTREAM}
    if own_credential or provider.forward_organization:
        allowed.add(Travel.OWN_CREDENTIAL_ONLY)
    hop_by_hop = head.connection_options
    return [field.line for field in head.fields if field.travel in allowed and field.name not in hop_by_hop]


def credential_for(exchange: Exchange, route: Route) -> tuple[str, bytes]:
    """Name for the row, and the line to send. Raises Refused where our own key is missing."""
    own = exchange.admission.client_credential if exchange.admission else None
    if own is not None:
        name, value = own
        return CLIENT_CREDENTIAL, name + b": " + value
    credential = route.provider.credential_for(exchange.grant, exchange.required_attribution.subject)
    return credential.name, credential.header_line
