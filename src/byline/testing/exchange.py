"""One request and its answer: which API it is for, what the simulation says, what goes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from byline.testing.answer_headers import answer_headers
from byline.testing.chat_completions import ChatCompletions
from byline.testing.conversation import reply_to, with_usage
from byline.testing.delivery import Cut, Delivery
from byline.testing.desk import Desk
from byline.testing.http import ClientGone, Connection, Request
from byline.testing.messages import Messages
from byline.testing.models import listing
from byline.testing.responses import Responses
from byline.testing.seen import SeenRequest
from byline.testing.shape import Event, Family, Json, Refusal, Shape, compact, error_body, simulated_refusal
from byline.testing.simulation import HEADER, Simulation, SimulationError, parse
from byline.testing.tokens import Usage

_SHAPES: dict[str, Shape] = {
    "/v1/messages": Messages(),
    "/v1/messages/count_tokens": Messages(counts_only=True),
    "/v1/chat/completions": ChatCompletions(),
    "/v1/responses": Responses(),
}
_COUNTING = "/v1/messages/count_tokens"


async def answer(request: Request, seen: SeenRequest, connection: Connection, desk: Desk) -> bool:
    """Answers one request; False when the connection must not be used again."""
    exchange = _Exchange(request, seen, connection, desk)
    try:
        await exchange.run()
    except Cut:
        seen.ending = "cut"
        connection.cut(reset=exchange.simulation.reset)
        return False
    except ClientGone:
        seen.ending = "client_gone"
        return False
    return request.keeps_alive and not exchange.simulation.close


class _Exchange:
    def __init__(self, request: Request, seen: SeenRequest, connection: Connection, desk: Desk) -> None:
        self.simulation = Simulation()
        self._request = request
        self._seen = seen
        self._connection = connection
        self._desk = desk
        # A provider may be configured below any path; what counts starts at the version.
        self._route = request.path[max(request.path.rfind("/v1/"), 0) :]
        self._shape = _SHAPES.get(self._route) if request.method == "POST" else None
        self._family: Family = self._shape.family if self._shape else _family_of(request)
        self._ids = desk.next_ids(self._family)
        seen.request_id = self._ids.request_id
        seen.generates = self._shape is not None and self._route != _COUNTING

    async def run(self) -> None:
        try:
            asked = parse(self._request.header(HEADER) or "")
            self.simulation = self._desk.simulation(asked, generates=self._seen.generates)
            self._check_credential()
            await self._answer()
        except SimulationError as error:
            await self._refuse(Refusal(400, f"{HEADER}: {error}"))
        except Refusal as refusal:
            await self._refuse(refusal)

    def _check_credential(self) -> None:
        if self._request.path != "/" and not self._desk.accepts(_credential(self._request)):
            raise simulated_refusal(Simulation(), 401)

    def _fail_if_told(self) -> None:
        if self.simulation.status is not None:
            raise simulated_refusal(self.simulation, self.simulation.status)

    async def _answer(self) -> None:
        reads = self._request.method in ("GET", "HEAD")
        if self._request.header("upgrade"):
            raise Refusal(426, "This simulated provider speaks no websockets.")
        if self._shape:
            await self._generate(self._shape)
            return
        self._fail_if_told()
        if reads and self._route == "/v1/models":
            await self._send(200, listing(self._family))
        elif reads and self._request.path == "/":
            await self._send(200, {})
        else:
            raise Refusal(404, f"Unknown request URL: {self._request.method} {self._request.path}")

    async def _generate(self, shape: Shape) -> None:
        simulation, seed = self.simulation, self._desk.seed
        prompt = shape.read(self._request.body, seed)
        self._seen.identity, self._seen.model = prompt.identity, prompt.model
        self._fail_if_told()
        reply = reply_to(prompt, seed, text=simulation.text, events=simulation.events)
        if simulation.tokens is not None:
            reply = with_usage(reply, simulation.tokens)
        if self._seen.generates:
            self._desk.spend(reply.usage)
        if simulation.replay is not None:
            await self._stream(shape, _recorded(simulation.replay))
        elif prompt.streaming:
            await self._stream(shape, shape.events(prompt, reply, self._ids, simulation))
        else:
            reports = reply.usage if self._seen.generates and not simulation.no_usage else None
            await self._send(200, shape.whole(prompt, reply, self._ids, simulation), reports)

    async def _stream(self, shape: Shape, events: Iterable[Event]) -> None:
        headers = self._headers("text/event-stream; charset=utf-8")
        headers.append(("cache-control", "no-cache"))
        await self._delivery().stream(headers, events, shape.failure(self._ids, self.simulation))

    async def _refuse(self, refusal: Refusal) -> None:
        await self._send(refusal.status, error_body(self._family, refusal, self._ids.request_id))

    async def _send(self, status: int, body: Json, reports: Usage | None = None) -> None:
        headers, has_body = self._headers("application/json"), self._request.method != "HEAD"
        await self._delivery().whole(status, headers, compact(body), has_body=has_body, reports=reports)

    def _delivery(self) -> Delivery:
        confirmed = self._desk.begin_lock_step() if self.simulation.lock_step else None
        return Delivery(self._connection, self._seen, self.simulation, confirmed)

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        return answer_headers(
            self._family,
            self.simulation,
            content_type=content_type,
            request_id=self._ids.request_id,
            credential=_credential(self._request),
            spent=self._desk.spent,
            now_s=self._desk.now(),
        )


def _credential(request: Request) -> str:
    bearer = (request.header("authorization") or "").removeprefix("Bearer ")
    return request.header("x-api-key") or bearer


def _family_of(request: Request) -> Family:
    """Both families list their models at one path; Anthropic's clients name their version."""
    return "anthropic" if request.header("anthropic-version") else "openai"


def _recorded(stream: bytes) -> Iterator[Event]:
    return (Event(part) for part in stream.replace(b"\n\n", b"\n\n\0").split(b"\0") if part)
