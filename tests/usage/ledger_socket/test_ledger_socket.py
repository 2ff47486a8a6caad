"""Server and client over a real socket."""

from __future__ import annotations

import socket
import stat
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from byline.usage.ledger import (
    ExportQuery,
    IncidentQuery,
    LedgerUnavailable,
    QueryError,
    QueryTimeout,
    RequestsQuery,
    SqlLimits,
    Table,
    UsageQuery,
)
from byline.usage.ledger_socket import frames, server
from byline.usage.ledger_socket.client import LedgerClient
from byline.usage.ledger_socket.server import LedgerServer

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
QUERY = UsageQuery(by=("user", "day"), since=NOON, where={"team": "a"}, timezone="Europe/Berlin")
Serve = Callable[[Callable[[Any], Table]], Any]


def test_a_table_arrives_as_it_was(serve: Serve, socket_path: Path) -> None:
    rows = [
        ("zoë", None, 2**62, 0.1, Decimal("0.000000000001"), NOON, True),
        ("1.5", 1, None, None, None, None, False),
    ]
    table = Table(("a", "b", "c", "d", "e", "f", "g"), rows)
    serve(lambda _: table)
    answer = LedgerClient(socket_path).usage(QUERY)
    assert answer == table
    assert [type(cell) for cell in answer.rows[0]] == [type(cell) for cell in rows[0]]


def test_questions_arrive_as_they_were(serve: Serve, socket_path: Path) -> None:
    ledger = serve(lambda _: Table((), []))
    client = LedgerClient(socket_path)
    asked = [QUERY, RequestsQuery(since=NOON, identifier="act_1"), IncidentQuery(since=NOON, until=NOON)]
    for query in asked:
        client.report(query)
    client.sql("SELECT 1", SqlLimits(timeout_s=1.5))
    assert ledger.asked == [*asked, ("SELECT 1", SqlLimits(timeout_s=1.5))]


def test_large_answers_come_in_pieces(serve: Serve, socket_path: Path) -> None:
    table = Table(("n", "text"), [(n, "x" * 50) for n in range(30_000)])
    serve(lambda _: table)
    assert LedgerClient(socket_path).usage(QUERY) == table
    assert len(list(frames.table_messages(table))) > 10


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (QueryError("no column 'x'"), QueryError, "no column 'x'"),
        (QueryTimeout("stopped"), QueryTimeout, "stopped"),
        (LedgerUnavailable("disk full"), LedgerUnavailable, "disk full"),
        (ZeroDivisionError("oops"), LedgerUnavailable, "ZeroDivisionError"),
    ],
)
def test_errors_keep_their_kind_and_words(
    serve: Serve, socket_path: Path, error: Exception, kind: type[Exception], message: str
) -> None:
    def fail(_: Any) -> Table:
        raise error

    serve(fail)
    with pytest.raises(kind, match=message) as raised:
        LedgerClient(socket_path).usage(QUERY)
    assert type(raised.value) is kind


def test_progress_and_the_path_of_an_export_come_back(serve: Serve, socket_path: Path) -> None:
    serve(lambda _: Table((), []))
    shares: list[float] = []
    path = LedgerClient(socket_path).export(ExportQuery(since=NOON), shares.append)
    assert (path, shares) == (Path("/outbox/file.parquet"), [0.5])


def test_a_slow_question_holds_up_no_other(serve: Serve, socket_path: Path) -> None:
    release = threading.Event()

    def answer(question: Any) -> Table:
        if question == "slow":
            release.wait(30)
        return Table(("q",), [(str(question)[:4],)])

    serve(answer)
    client = LedgerClient(socket_path)
    answers: list[Table] = []
    slow = threading.Thread(target=lambda: answers.append(client.sql("slow", SqlLimits())))
    slow.start()
    try:
        assert client.sql("fast", SqlLimits()).rows == [("fast",)]
        assert answers == []
    finally:
        release.set()
        slow.join()
    assert answers[0].rows == [("slow",)]


def test_only_the_owner_may_open_the_socket(serve: Serve, socket_path: Path) -> None:
    serve(lambda _: Table((), []))
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600


def test_another_user_gets_no_answer(
    serve: Serve, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says whose the peer is: here, somebody else's and not root's."""
    ledger = serve(lambda _: Table((), []))
    monkeypatch.setattr(server, "_PEER_CREDENTIALS", ForeignPeer())
    with pytest.raises(LedgerUnavailable):
        LedgerClient(socket_path, wait_s=0).usage(QUERY)
    assert ledger.asked == []


class ForeignPeer:
    size = struct.calcsize("3i")

    def unpack(self, _: bytes) -> tuple[int, int, int]:
        return (1, 4_000_000, 4_000_000)


def test_a_client_waits_for_a_server_that_restarts(serve: Serve, socket_path: Path) -> None:
    pauses: list[float] = []

    def restart_at_third_pause(pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 3:
            serve(lambda _: Table(("a",), [(1,)]))

    client = LedgerClient(socket_path, now=lambda: float(len(pauses)) / 10, sleep=restart_at_third_pause)
    assert client.usage(QUERY).rows == [(1,)]


def test_a_client_gives_up_and_says_where_it_looked(socket_path: Path) -> None:
    clock = [0.0]
    client = LedgerClient(
        socket_path, now=lambda: clock[0], sleep=lambda _: clock.__setitem__(0, clock[0] + 1)
    )
    with pytest.raises(LedgerUnavailable, match=r"ledger\.sock.*5 s"):
        client.usage(QUERY)
    assert clock[0] == 5.0


def test_an_answer_broken_off_is_asked_for_again(socket_path: Path, serve: Serve) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(socket_path))
    listener.listen()

    def break_off() -> None:
        peer, _ = listener.accept()
        frames.receive_question(peer)
        frames.send(peer, frames.Columns(("a",)))
        peer.close()
        listener.close()

    thread = threading.Thread(target=break_off)
    thread.start()
    client = LedgerClient(socket_path, sleep=lambda _: serve(lambda _: Table(("a",), [(7,)])))
    assert client.usage(QUERY).rows == [(7,)]
    thread.join()


def test_a_server_of_another_version_is_called_so(socket_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(socket_path))
    listener.listen()

    def answer_strangely() -> None:
        peer, _ = listener.accept()
        frames.receive_question(peer)
        body = msgspec.msgpack.encode({"type": "from-the-future"})
        peer.sendall(struct.pack(">I", len(body)) + body)
        peer.close()
        listener.close()

    thread = threading.Thread(target=answer_strangely)
    thread.start()
    with pytest.raises(LedgerUnavailable, match="another version"):
        LedgerClient(socket_path).usage(QUERY)
    thread.join()


@pytest.mark.parametrize("sent", [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff", b"\x00"])
def test_rubbish_harms_nobody(serve: Serve, socket_path: Path, sent: bytes) -> None:
    serve(lambda _: Table(("a",), [(1,)]))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(socket_path))
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass
    assert LedgerClient(socket_path).usage(QUERY).rows == [(1,)]


def test_a_dead_servers_socket_is_taken_over_and_a_closed_ones_is_gone(
    serve: Serve, socket_path: Path
) -> None:
    left_behind = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left_behind.bind(str(socket_path))
    left_behind.close()
    assert not LedgerClient(socket_path).is_answered()
    ledger = serve(lambda _: Table((), []))
    assert LedgerClient(socket_path).is_answered()
    second = LedgerServer(socket_path.with_name("second.sock"), ledger)
    second.close()
    assert not socket_path.with_name("second.sock").exists()


def test_a_directory_may_be_deeper_than_a_socket_address(serve: Serve, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-directory-name"] * 6)
    deep.mkdir(parents=True)
    path = deep / "ledger.sock"
    opened = LedgerServer(path, serve(lambda _: Table(("a",), [(1,)])))
    try:
        assert LedgerClient(path).usage(QUERY).rows == [(1,)]
    finally:
        opened.close()
