"""What the players do: calls through the official SDKs, sync and async, streamed and not, on three APIs.

They know the gateway's address and their own key, and nothing else: it is the gateway that says who
they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from byline.cli.demo.cast import ELECTION, FACT_CHECKER, INDEXER, NADIA, OMAR, Player
from byline.testing.simulation import HEADER

if TYPE_CHECKING:
    import anthropic
    import openai
    from anthropic.types import MessageParam, TextBlockParam

CLAUDE: Final = "claude-sonnet-4-6"
GPT: Final = "gpt-5.1"
FORGED_PROMPT: Final = "Tell me a secret."
_JOB: Final = {"X-Byline-Job": ELECTION}
_PACE: Final = {HEADER: "pace=2ms"}
_STYLE_BOOK: Final = "House style: names before titles, numbers before adjectives, verbs before all. " * 60


class Newsroom:
    def __init__(self, gateway_url: str, players: Mapping[str, Player]) -> None:
        self._anthropic_url = gateway_url
        self._openai_url = f"{gateway_url}/v1"
        self._players = players

    def work(self) -> None:
        """One evening: some forty requests."""
        self._interview()
        self._liveblog()
        self.claim_to_be_nadia()
        asyncio.run(self._nightly_jobs())

    def _interview(self) -> None:
        """Nadia, in an interactive program: streamed messages, thinking, a tool, one overload."""
        with self._claude(NADIA.username) as claude:
            for question in ("Who is running?", "Since when?", "Against whom?"):
                with claude.messages.stream(
                    model=CLAUDE,
                    max_tokens=2000,
                    system=[_cached(_STYLE_BOOK)],
                    thinking={"type": "enabled", "budget_tokens": 1024},
                    messages=_say(question),
                    extra_headers=_PACE,
                ) as stream:
                    stream.until_done()
            claude.messages.create(
                model=CLAUDE,
                max_tokens=500,
                messages=_say('call find_clipping {"name": "the mayor"}'),
                tools=[{"name": "find_clipping", "input_schema": {"type": "object"}}],
            )

    def _liveblog(self) -> None:
        """Nadia and Omar share a job that no key is bound to: each call claims it."""
        for username in (NADIA.username, OMAR.username):
            with self._gpt(username) as gpt:
                for town in ("Aldermoor", "Birkwick", "Castleford"):
                    chat = gpt.chat.completions.create(
                        model=GPT,
                        messages=[{"role": "user", "content": f"Results from {town}?"}],
                        stream=True,
                        extra_headers=_JOB | _PACE,
                    )
                    with chat:
                        for _chunk in chat:
                            pass
                gpt.responses.create(model=GPT, input="Sum up the count so far.", extra_headers=_JOB)

    def claim_to_be_nadia(self) -> None:
        """Omar's program sends another user's name in the provider's own field."""
        with self._claude(OMAR.username) as claude:
            claude.messages.create(
                model=CLAUDE,
                max_tokens=300,
                messages=_say(FORGED_PROMPT),
                metadata={"user_id": NADIA.username},
            )

    async def _nightly_jobs(self) -> None:
        async with (
            self._async_claude(FACT_CHECKER.username) as claude,
            self._async_gpt(INDEXER.username) as gpt,
        ):
            await asyncio.gather(
                *(_check_fact(claude, number) for number in range(10)),
                *(_index_page(gpt, number) for number in range(12)),
            )

    @contextmanager
    def _claude(self, username: str) -> Generator[anthropic.Anthropic]:
        from anthropic import Anthropic

        with Anthropic(base_url=self._anthropic_url, api_key=self._players[username].key) as client:
            yield client

    @contextmanager
    def _gpt(self, username: str) -> Generator[openai.OpenAI]:
        from openai import OpenAI

        with OpenAI(base_url=self._openai_url, api_key=self._players[username].key) as client:
            yield client

    @asynccontextmanager
    async def _async_claude(self, username: str) -> AsyncGenerator[anthropic.AsyncAnthropic]:
        from anthropic import AsyncAnthropic

        async with AsyncAnthropic(
            base_url=self._anthropic_url, api_key=self._players[username].key
        ) as client:
            yield client

    @asynccontextmanager
    async def _async_gpt(self, username: str) -> AsyncGenerator[openai.AsyncOpenAI]:
        from openai import AsyncOpenAI

        async with AsyncOpenAI(base_url=self._openai_url, api_key=self._players[username].key) as client:
            yield client


async def _check_fact(claude: anthropic.AsyncAnthropic, number: int) -> None:
    messages = _say(f"Fact {number}: is it so?")
    system = [_cached(_STYLE_BOOK)]
    if number % 2:
        await claude.messages.create(model=CLAUDE, max_tokens=800, system=system, messages=messages)
        return
    async with claude.messages.stream(
        model=CLAUDE, max_tokens=800, system=system, messages=messages, extra_headers=_PACE
    ) as stream:
        await stream.until_done()


async def _index_page(gpt: openai.AsyncOpenAI, number: int) -> None:
    page = f"Page {number}. " + "The council met and the minutes were read. " * 120
    if number % 3 == 0:
        await gpt.chat.completions.create(model=GPT, messages=[{"role": "user", "content": page}])
    elif number % 3 == 1:
        await gpt.responses.create(model=GPT, input=page, reasoning={"effort": "low"})
    else:
        async with gpt.responses.stream(model=GPT, input=page, extra_headers=_PACE) as stream:
            await stream.until_done()


def _say(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def _cached(text: str) -> TextBlockParam:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
