"""One connection under all that can befall it, to a real server or to one that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme
from tests.redis_server import RedisServer, reserved_port, stand_in, start_redis

from byline.budgets.counters import CountersUnavailable
from byline.budgets.redis_address import parse_address
from byline.budgets.redis_commands import Script
from byline.budgets.redis_link import MOST_TOLD_AT_ONCE, RedisLink

ECHO = Script("return cjson.decode(ARGV[1])")
PUSH = Script("for _, each in ipairs(cjson.decode(ARGV[1])) do redis.call('RPUSH', 'told', each) end")


@asynccontextmanager
async def link_to(url: str, timeout_s: float = 5.0) -> AsyncIterator[RedisLink]:
    link = RedisLink(parse_address(url), timeout_s)
    try:
        yield link
    finally:
        await link.close()


def test_all_that_is_asked_at_once_is_answered_each_with_its_own(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with link_to(redis_server.url) as link:
            answers = await asyncio.gather(*(link.ask(ECHO, [number, "x"]) for number in range(500)))
            assert answers == [[number, "x"] for number in range(500)]
            assert link.trouble is None

    asyncio.run(scenario())


def test_a_heap_of_what_is_only_told_leaves_in_portions_and_arrives_whole(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with link_to(redis_server.url) as link:
            await link.command("DEL", "told")
            await link.ask(PUSH, [])
            for number in range(1000):
                link.tell(PUSH, [number])
            assert len(link._told) == MOST_TOLD_AT_ONCE
            await link.ask(ECHO, [1])
            assert int(await link.command("LLEN", "told")) < 1000
        async with link_to(redis_server.url) as link:
            assert await link.command("LRANGE", "told", 0, -1) == [str(number) for number in range(1000)]

    asyncio.run(scenario())


def test_what_is_told_to_a_server_that_forgot_the_scripts_arrives(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with link_to(redis_server.url) as link:
            await link.command("DEL", "told")
            await link.command("SCRIPT", "FLUSH")
            link.tell(PUSH, ["a"])
        async with link_to(redis_server.url) as link:
            assert await link.command("LRANGE", "told", 0, -1) == ["a"]

    asyncio.run(scenario())


def test_a_restarted_server_is_asked_on_a_new_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = start_redis(tmp_path)
        async with link_to(server.url) as link:
            assert await link.ask(ECHO, [1]) == [1]
            stop(server)
            with pytest.raises(CountersUnavailable, match="ConnectionRefusedError"):
                await link.ask(ECHO, [2])
            assert link.trouble == "ConnectionRefusedError"
            again = start_redis(tmp_path, port=server.port)
            assert await link.ask(ECHO, [3]) == [3]
            assert link.trouble is None
            stop(again)

    asyncio.run(scenario())


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_unnoticed(
    redis_server: RedisServer,
) -> None:
    async def scenario() -> None:
        async with link_to(redis_server.url) as link, link_to(redis_server.url) as other:
            await link.ask(ECHO, [1])
            await other.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert await link.ask(ECHO, [2]) == [2]

    asyncio.run(scenario())


def test_a_server_that_hangs_is_given_up_in_time_and_reached_anew(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        met = 0

        async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            await reader.read()

        async with stand_in(hang) as url, link_to(url, timeout_s=0.05) as link:
            untold: list[BaseException | None] = []
            link.tell(ECHO, [1], untold.append)
            for _ in range(2):
                with pytest.raises(CountersUnavailable, match="TimeoutError"):
                    await link.ask(ECHO, [1])
            assert [type(error) for error in untold] == [TimeoutError]
            assert met == 2

    asyncio.run(scenario())


def test_a_call_lost_on_the_way_is_said_to_be_so() -> None:
    async def scenario() -> None:
        async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read(1)

        async with stand_in(hang_up) as url, link_to(url) as link:
            lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
            link.tell(ECHO, [1], lost.set_result)
            assert isinstance(await lost, ConnectionError)
            with pytest.raises(CountersUnavailable, match="ConnectionResetError"):
                await link.ask(ECHO, [1])

    asyncio.run(scenario())


def test_something_else_that_listens_there_is_no_counter_store() -> None:
    async def scenario() -> None:
        async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()

        async with stand_in(web) as url, link_to(url) as link:
            with pytest.raises(CountersUnavailable):
                await link.ask(ECHO, [1])

    asyncio.run(scenario())


def test_an_answer_that_is_no_text_is_no_answer() -> None:
    async def scenario() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"+\xff\xfe\r\n")
            await reader.read()

        async with stand_in(babble) as url, link_to(url) as link:
            with pytest.raises(CountersUnavailable, match="ConnectionResetError"):
                await link.ask(ECHO, [1])

    asyncio.run(scenario())


def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async def scenario() -> None:
        async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65536):
                writer.write(b":1\r\n:2\r\n")
                await writer.drain()

        async with stand_in(chatter) as url, link_to(url) as link:
            assert await link.ask(ECHO, ["first"]) == 1
            connection = link._connection
            assert connection is not None
            assert not connection.is_open
            assert await link.ask(ECHO, ["second"]) == 1

    asyncio.run(scenario())


def test_a_server_that_hangs_up_at_once_is_not_stormed_with_connections() -> None:
    async def scenario() -> None:
        met = 0

        async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            writer.write(b"-ERR max number of clients reached\r\n")

        async with stand_in(refuse) as url:
            link = RedisLink(parse_address(url), 5.0)
            opened = asyncio.ensure_future(link._reach())
            untold: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
            link.tell(ECHO, [1], untold.set_result)
            with suppress(ConnectionError):
                await opened
            await untold
            await link.close()
            assert met <= 2

    asyncio.run(scenario())


def test_a_call_that_is_cancelled_leaves_the_answers_in_step(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with link_to(redis_server.url) as link:
            await link.ask(ECHO, [0])
            given_up = asyncio.ensure_future(link.ask(ECHO, [1]))
            await asyncio.sleep(0)
            given_up.cancel()
            assert await link.ask(ECHO, [2]) == [2]

    asyncio.run(scenario())


def test_a_script_that_fails_is_said_by_its_code_without_its_arguments(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with link_to(redis_server.url) as link:
            broken = Script("return redis.call('NO-SUCH-COMMAND', ARGV[1])")
            with pytest.raises(CountersUnavailable, match=r"^ERR$"):
                await link.ask(broken, ["secret"])
            assert await link.ask(ECHO, [1]) == [1]

    asyncio.run(scenario())
    assert "secret" not in caplog.text
    assert "answers again" in caplog.text


def test_a_password_and_a_database_are_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(port: int) -> None:
        async with link_to(f"redis://:sesame@127.0.0.1:{port}/3") as link:
            assert "db=3" in await link.command("CLIENT", "INFO")
        async with link_to(f"redis://:wrong-sesame@127.0.0.1:{port}/0") as link:
            with pytest.raises(CountersUnavailable, match="AUTH is refused: WRONGPASS"):
                await link.ask(ECHO, [1])
        async with link_to(f"redis://127.0.0.1:{port}/0") as link:
            with pytest.raises(CountersUnavailable, match="NOAUTH"):
                await link.ask(ECHO, [1])

    server = start_redis(tmp_path, "--requirepass", "sesame")
    try:
        asyncio.run(scenario(server.port))
    finally:
        stop(server)
    assert "sesame" not in caplog.text


def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with link_to(f"unix://{tmp_path}/r.sock") as link:
            assert await link.ask(ECHO, [1]) == [1]

    server = start_redis(tmp_path, "--unixsocket", str(tmp_path / "r.sock"))
    try:
        asyncio.run(scenario())
    finally:
        stop(server)


def test_tls_holds_the_server_to_its_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")

    async def scenario(port: int) -> None:
        async with link_to(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/ca.pem") as link:
            assert await link.ask(ECHO, [1]) == [1]
        async with link_to(f"rediss://127.0.0.1:{port}/0") as link:
            with pytest.raises(CountersUnavailable, match="SSLCertVerificationError"):
                await link.ask(ECHO, [1])

    files = ("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem")
    with reserved_port() as port:
        server = start_redis(tmp_path, "--tls-port", str(port), "--tls-auth-clients", "no", *files)
        try:
            asyncio.run(scenario(port))
        finally:
            stop(server)


def stop(server: RedisServer) -> None:
    server.process.kill()
    server.process.wait()
