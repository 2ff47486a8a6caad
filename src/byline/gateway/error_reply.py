"""Writes an error of our own to the client, shaped as its provider would have."""

from __future__ import annotations

from http import HTTPStatus

from byline.apis.api import Family
from byline.apis.errors import error_body
from byline.gateway.exchange import Reply
from byline.gateway.refusals import Refused, request_id_header


def send_refusal(reply: Reply, family: Family, refusal: Refused, request_id: str) -> None:
    body = error_body(
        family,
        refusal.status,
        str(refusal),
        request_id=request_id,
        kind=refusal.provider_type,
        code=refusal.code,
    )
    lines = [
        b"content-type: application/json",
        f"{request_id_header(family)}: {request_id}".encode(),
        b"x-byline-request-id: " + request_id.encode(),
        *(f"{name}: {value}".encode() for name, value in refusal.headers),
    ]
    reply.start(refusal.status, HTTPStatus(refusal.status).phrase.encode(), lines, len(body))
    reply.write(body)
    reply.end()
