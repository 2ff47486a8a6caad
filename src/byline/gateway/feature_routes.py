"""Serves feature values to GrowthBook SDKs, as GrowthBook's own API and proxy do.

`GET /api/features/KEY` gives the payload with its rules, `POST /api/eval/KEY` values for the attributes
sent. A client key listed in the settings is credential enough, as at GrowthBook; any other key in the
path needs a Byline key beside it, and then who asks is the gateway's word, not the body's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from byline.flags.payload import Payload, PayloadRefused
from byline.gateway.auth.attribution import UserLookup, attribute
from byline.gateway.error_reply import send_refusal
from byline.gateway.exchange import Exchange, Reply
from byline.gateway.feature_evaluation import Asked, Busy, RequestFeatures, Stopping, attributes_of
from byline.gateway.http1.content import decode_body
from byline.gateway.http1.errors import ProtocolError
from byline.gateway.http1.request_head import RequestHead
from byline.gateway.refusals import Refused
from byline.identity.model import Claims

MAX_BODY_BYTES: Final = 256 * 1024
_FEATURES: Final = "/api/features/"
_EVAL: Final = "/api/eval/"


class _Body(msgspec.Struct, rename="camel"):
    attributes: dict[str, Any] = {}
    forced_variations: dict[str, int] = {}
    forced_features: list[tuple[str, Any]] = []
    url: str = ""


_BODY: Final = msgspec.json.Decoder(_Body)


class FeatureRoutes:
    def __init__(self, features: RequestFeatures, users: UserLookup, client_keys: Collection[str]) -> None:
        self._features = features
        self._users = users
        self._client_keys = frozenset(client_keys)
        self._tasks: set[asyncio.Task[None]] = set()
        self._encoded: tuple[Payload | None, bytes, bytes] = (None, b"", b"")

    def serves(self, head: RequestHead) -> bool:
        return _client_key(head) is not None

    def is_open(self, head: RequestHead) -> bool:
        return _client_key(head) in self._client_keys

    def check(self, head: RequestHead) -> None:
        if head.content_length > MAX_BODY_BYTES or (head.chunked and self.is_open(head)):
            raise Refused(413, "too_large", f"send a Content-Length of at most {MAX_BODY_BYTES} bytes")

    def take(self, exchange: Exchange, body: bytes) -> None:
        payload = self._payload()
        if exchange.head.line.method == b"GET":
            self._send_payload(exchange, payload)
            return
        task = asyncio.ensure_future(self._answer(exchange, payload, self._read(exchange, body)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _payload(self) -> Payload:
        payload = self._features.payload()
        if payload is not None:
            return payload
        if self._features.is_expected:
            raise Refused(503, "overloaded", "the features are not loaded yet; try again", _SOON)
        raise Refused(
            404,
            "not_found",
            "no features are served here; the operator can set [flags] source to file or growthbook",
        )

    def _read(self, exchange: Exchange, body: bytes) -> Asked:
        try:
            plain = decode_body(body, exchange.head.content_encoding, MAX_BODY_BYTES)
            sent = _BODY.decode(plain or b"{}")
        except ProtocolError as error:
            raise Refused(error.status, "invalid_request", str(error)) from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Refused(
                400, "invalid_request", 'send a JSON object such as {"attributes": {"id": "u1"}}'
            ) from None
        attributes = {**sent.attributes, **self._known(exchange, sent.attributes)}
        return Asked(attributes, sent.forced_variations, dict(sent.forced_features), sent.url)

    def _known(self, exchange: Exchange, sent: dict[str, Any]) -> dict[str, Any]:
        """What a Byline key proves, and what it may claim of the rest."""
        if exchange.admission is None:
            return {}
        user, job = sent.get("user"), sent.get("job")
        claims = Claims(
            user=user if isinstance(user, str) else None, job=job if isinstance(job, str) else None
        )
        found = attribute(exchange.grant, claims, self._users)
        return dict.fromkeys(("user", "job", "team", "email")) | attributes_of(found.subject, found.job)

    async def _answer(self, exchange: Exchange, payload: Payload, asked: Asked) -> None:
        try:
            features = await self._features.evaluate(payload, asked)
        except Busy:
            _refuse(exchange, Refused(503, "overloaded", "too many evaluations wait; try again", _SOON))
        except Stopping:
            _refuse(exchange, Refused(503, "overloaded", "the gateway stops; try again", _SOON))
        except PayloadRefused as refused:
            _refuse(
                exchange, Refused(503, "overloaded", f"the gateway can't evaluate its features: {refused}")
            )
        except Exception as error:  # noqa: BLE001 - rules that break the evaluator
            kind = type(error).__name__
            _refuse(exchange, Refused(503, "overloaded", f"the features' rules can't be evaluated ({kind})"))
        else:
            document: dict[str, Any] = {
                "features": features,
                "experiments": [],
                "dateUpdated": payload.raw.get("dateUpdated"),
            }
            _send(exchange, 200, b"OK", msgspec.json.encode(document), [b"cache-control: no-store"])

    def _send_payload(self, exchange: Exchange, payload: Payload) -> None:
        if payload.was_encrypted and exchange.admission is None:
            message = "these features are encrypted at their source, so their rules are not given away; use /api/eval"
            raise Refused(403, "permission", message)
        if self._encoded[0] is not payload:
            self._encoded = (payload, *_encode(payload))
        _, body, etag = self._encoded
        lines = [b"cache-control: private, no-cache", b"etag: " + etag]
        if any(field.name == b"if-none-match" and field.value == etag for field in exchange.head.fields):
            _send(exchange, 304, b"Not Modified", b"", lines)
        else:
            _send(exchange, 200, b"OK", body, lines)


_SOON: Final = (("retry-after", "1"),)


def _encode(payload: Payload) -> tuple[bytes, bytes]:
    """The body, decrypted and in GrowthBook's envelope, and its ETag."""
    body = msgspec.json.encode({"status": 200, **payload.raw})
    return body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()


def _client_key(head: RequestHead) -> str | None:
    """None for other paths."""
    prefix = {b"GET": _FEATURES, b"POST": _EVAL}.get(head.line.method)
    path = head.line.path
    if prefix is None or not path.startswith(prefix):
        return None
    key = unquote(path.removeprefix(prefix))
    return key if key and "/" not in key else None


def _send(exchange: Exchange, status: int, reason: bytes, body: bytes, lines: list[bytes]) -> None:
    reply: Reply | None
    reply, exchange.reply = exchange.reply, None
    if reply is None:
        return
    head = [
        b"content-type: application/json",
        b"x-byline-request-id: " + exchange.exchange_id.encode(),
        *lines,
    ]
    reply.start(status, reason, head, len(body))
    reply.write(body)
    reply.end()


def _refuse(exchange: Exchange, refusal: Refused) -> None:
    reply, exchange.reply = exchange.reply, None
    if reply is not None:
        send_refusal(reply, exchange.family, refusal, exchange.exchange_id)
