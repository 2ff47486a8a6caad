"""Clients whose every request carries a marker, and who carry on when the gateway dies under them.

The marker stands in the prompt, where the provider logs it, and in the client's `metadata.user_id`,
which the row keeps although the gateway overwrites it on the way.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PAUSE_S = 0.01
"""Between requests of a client, and before it connects again."""


@dataclass(slots=True)
class MarkedLoad:
    """Half of the clients ask for streams, which take time and so are in flight when something dies."""

    port: int
    key: str
    clients: int = 16
    sent: int = 0
    broken: int = 0
    refused: int = 0
    answered: set[str] = field(default_factory=set[str])
    """Markers whose answer came whole."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _stopping: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self._client(streaming=number % 2 == 0))
            try:
                yield
            finally:
                self._stopping = True

    async def _client(self, *, streaming: bool) -> None:
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                await self._requests(reader, writer, streaming)
            except (OSError, EOFError, ValueError):
                self.broken += 1
            finally:
                writer.close()
            await asyncio.sleep(PAUSE_S)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, streaming: bool
    ) -> None:
        while not self._stopping:
            marker = f"{next(self._numbers):016x}"
            writer.write(_request(marker, self.key, streaming))
            self.sent += 1
            status = await _read_answer(reader)
            if status == 200:
                self.answered.add(marker)
            else:
                self.refused += 1
            await asyncio.sleep(PAUSE_S)


def _request(marker: str, key: str, streaming: bool) -> bytes:
    body = {
        "model": "claude-sonnet-4-5-20250929",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": f"marker={marker} Say when."}],
        "metadata": {
            "user_id": json.dumps(
                {"device_id": "d" * 64, "account_uuid": "", "session_id": f"marker={marker}"}
            )
        },
        **({"stream": True} if streaming else {}),
    }
    # Compact, as SDKs write it: the provider looks for the `stream` member in this form.
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"anthropic-version: 2023-06-01\r\nx-api-key: {key}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        while length := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(length + 2)
        await reader.readexactly(2)
    else:
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    return status
