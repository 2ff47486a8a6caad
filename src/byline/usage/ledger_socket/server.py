"""Answers questions from an open store, each connection in a thread of its own.

Believes nobody but its own user: the socket's mode says so, and the kernel names each peer.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from byline.usage.ledger import Forget, LedgerReader, Progress, QueryError, Reprice, Table
from byline.usage.ledger_socket import frames
from byline.usage.ledger_socket.address import address

_PEER_CREDENTIALS: Final = struct.Struct("3i")
_QUESTION_TIMEOUT_S: Final = 10.0
"""How long a peer may take to ask, and to take each piece of its answer."""
_AT_ONCE: Final = 8
"""Questions answered at the same time; they share the engine's memory. The rest wait."""
_log = logging.getLogger("byline.ledger")


class LedgerServer:
    """Listens from construction on; `close` answers what is under way and removes the socket."""

    def __init__(
        self, path: Path, ledger: LedgerReader, reprice: Reprice | None = None, forget: Forget | None = None
    ) -> None:
        """The caller has the store open, so a socket that is there already is a dead process's."""
        self._path = path
        self._ledger = ledger
        self._reprice, self._forget = reprice, forget
        self._running = threading.BoundedSemaphore(_AT_ONCE)
        self._threads: set[threading.Thread] = set()
        self._listener = _listen(path)
        self._accepting = threading.Thread(target=self._accept, name="ledger-socket", daemon=True)
        self._accepting.start()

    def close(self, timeout_s: float = 5.0) -> None:
        self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(timeout_s)
        for thread in list(self._threads):
            thread.join(timeout_s)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(peer,), name="ledger-question", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer:
                peer.settimeout(_QUESTION_TIMEOUT_S)
                if _is_ours(peer):
                    self._answer(peer)
        except OSError as error:
            _log.debug("a question was dropped: %s", error)
        finally:
            self._threads.discard(threading.current_thread())

    def _answer(self, peer: socket.socket) -> None:
        try:
            question = frames.receive_question(peer)
        except (msgspec.MsgspecError, ValueError) as error:
            frames.send(peer, frames.Failed("query", f"not a question this ledger understands: {error}"))
            return
        try:
            with self._running:
                frames.send(peer, self._work(peer, question))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the asker is told
            failed = frames.failure(error)
            if failed.kind == "internal":
                _log.exception("a question failed")
            frames.send(peer, failed)

    def _work(self, peer: socket.socket, question: frames.Question) -> frames.Done:
        """Sends the answer but for its last frame, which it returns."""
        match question:
            case frames.AskReport(query):
                table = self._ledger.report(query)
            case frames.AskSql(text, limits):
                table = self._ledger.sql(text, limits)
            case frames.AskExport(query):
                return frames.Done(str(self._ledger.export(query, _reporting_to(peer))))
            case frames.AskBackup(target):
                self._ledger.backup(Path(target), _reporting_to(peer))
                return frames.Done(target)
            case frames.AskReprice(query, dry_run):
                if self._reprice is None:
                    raise QueryError("this ledger's rows can't be priced again")
                table = self._reprice(query, dry_run, _reporting_to(peer))
            case frames.AskForget(user, pseudonym):
                if self._forget is None:
                    raise QueryError("this ledger can't forget")
                table = Table(("rows",), [(self._forget(user, pseudonym),)])
        for message in frames.table_messages(table):
            frames.send(peer, message)
        return frames.Done()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment on, and bind takes it from the mask.
    mask = os.umask(0o177)
    try:
        with address(path) as name:
            listener.bind(name)
    finally:
        os.umask(mask)
    listener.listen(64)
    return listener


def _is_ours(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _, uid, _ = _PEER_CREDENTIALS.unpack(credentials)
    return uid in (os.geteuid(), 0)


def _reporting_to(peer: socket.socket) -> Progress:
    def report(share: float) -> None:
        frames.send(peer, frames.Advanced(share))

    return report
