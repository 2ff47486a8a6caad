"""Orders to a simulated provider that runs as a process of its own, as JSON over HTTP.

`GET /_simulate/requests` and `/_simulate/counted` tell what it saw; `POST /_simulate/next` takes
`{"options": "status=529", "times": 2}`, `/_simulate/confirm` lets a lock-step stream go on one
event, `/_simulate/reset` forgets everything.
"""

from __future__ import annotations

import msgspec

from byline.testing.desk import Desk
from byline.testing.http import Answer, Connection, Request
from byline.testing.seen import SeenRequest, count
from byline.testing.shape import compact
from byline.testing.simulation import SimulationError, build, parse

PREFIX = "/_simulate/"


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    options: str
    times: int = 1


async def answer(request: Request, connection: Connection, desk: Desk) -> bool:
    """True: the connection may be used again."""
    try:
        status, body = 200, _carry_out(request, desk)
    except (msgspec.DecodeError, SimulationError) as error:
        status, body = 400, {"error": str(error)}
    data = compact(body)
    sent = Answer(connection, chunked=False)
    await sent.head(status, [("content-type", "application/json"), ("content-length", str(len(data)))])
    await sent.piece(data)
    return request.keeps_alive


def _carry_out(request: Request, desk: Desk) -> object:
    match request.method, request.path.removeprefix(PREFIX):
        case "GET", "requests":
            return [_shown(seen) for seen in desk.requests]
        case "GET", "counted":
            return [
                {"identity": identity, "requests": counted.requests, **msgspec.to_builtins(counted.usage)}
                for identity, counted in count(desk.requests).items()
            ]
        case "POST", "next":
            order = msgspec.json.decode(request.body, type=_Order)
            options = parse(order.options)
            build(options)
            desk.queued.extend([options] * order.times)
        case "POST", "confirm":
            desk.confirm()
        case "POST", "reset":
            desk.requests.clear()
            desk.queued.clear()
        case method, name:
            raise SimulationError(f"there is no control call {method} {PREFIX}{name}")
    return {}


def _shown(seen: SeenRequest) -> dict[str, object]:
    return {
        "method": seen.method,
        "target": seen.target,
        "headers": seen.headers,
        "body": seen.body.decode("utf-8", "replace"),
        "request_id": seen.request_id,
        "identity": seen.identity,
        "sent_status": seen.sent_status,
        "ending": seen.ending,
        "reported": msgspec.to_builtins(seen.reported) if seen.reported else None,
    }
