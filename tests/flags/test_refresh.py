from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from itertools import pairwise

import pytest
from tests.flags.conftest import FeatureServer, ScriptedSource, load, reply

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.opening import SourceChoice, open_source
from byline.flags.refresh import Refresher
from byline.flags.schedule import Schedule
from byline.flags.sources.growthbook_api import GrowthBookApi
from byline.flags.sources.http import HttpOptions

SLOW = FeatureOptions(poll_interval_s=3600)
QUICK = HttpOptions(timeout_s=0.2)


class Hand:
    """A clock that only the test moves, and a refresher that only it drives."""

    def __init__(self, source: ScriptedSource) -> None:
        self.now = 0.0
        self.client = FeatureClient(None)
        self.refresher = Refresher(
            source, self.client, Schedule(60, fraction=lambda: 1.0), clock=lambda: self.now
        )

    def run_until(self, end: float) -> list[float]:
        """When something was fetched."""
        source = self.refresher._source
        assert isinstance(source, ScriptedSource)
        times: list[float] = []
        while self.now <= end:
            before = source.fetches
            self.refresher._step()
            if source.fetches > before:
                times.append(self.now)
            self.now = max(self.refresher._next_at(), self.now + 0.001)
        return times


def test_a_healthy_source_is_asked_once_per_interval_with_jitter():
    hand = Hand(ScriptedSource(a=1))
    times = hand.run_until(650)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [66] * 9


def test_jitter_keeps_processes_out_of_step():
    draws = iter([0.0, 1.0])
    schedule = Schedule(60, fraction=lambda: next(draws))
    assert [round(schedule.after_success()) for _ in range(2)] == [54, 66]


def test_an_outage_is_met_with_ever_rarer_requests_and_its_end_with_the_usual_ones():
    source = ScriptedSource()
    source.values = None
    hand = Hand(source)
    times = hand.run_until(3600)
    assert [round(later - earlier) for earlier, later in pairwise(times)][:8] == [
        5, 10, 20, 40, 80, 160, 300, 300,
    ]  # fmt: skip
    assert len(times) == 17
    assert hand.refresher.problem == "the script fails"
    source.values = {"a": 1}
    hand.run_until(hand.now + 400)
    assert (hand.client.value("a", 0), hand.refresher.problem) == (1, None)


def test_an_outage_is_told_once(caplog):
    source = ScriptedSource()
    source.values = None
    Hand(source).run_until(3600)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_a_failed_fetch_keeps_the_last_good_values():
    source = ScriptedSource(a=1)
    hand = Hand(source)
    hand.run_until(1)
    source.values = None
    hand.run_until(600)
    assert hand.client.value("a", 0) == 1


def test_a_defect_in_a_source_doesnt_end_the_thread():
    source = ScriptedSource(a=1)

    def fail(_validator: object) -> None:
        raise ZeroDivisionError

    source.fetch = fail  # type: ignore[method-assign]
    hand = Hand(source)
    hand.refresher._step()
    assert hand.refresher.problem == "ZeroDivisionError"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"null", b"<html>", b'{"features":{}}', b'{"features":null}', b'{"features":[]}',
        b'{"features":{"a":1}}', b'{"features":{"a":{"rules":{}}}}', b'{"features":{"a":{"rules":[1]}}}',
        b'{"features":{"a":{"defaultValue":2}}', b"{" * 100_000, b'{"features":{"a":' + b"[" * 100_000,
        b'{"encryptedFeatures":"abc.def"}',
    ],
)  # fmt: skip
def test_an_empty_or_malformed_payload_is_refused_and_the_last_good_stays(server: FeatureServer, body):
    source = GrowthBookApi(server.url, "sdk-1", {})
    client = FeatureClient(source, SLOW)
    server.serve({"a": {"defaultValue": 1}})
    client.refresher._poll()
    server.answer = lambda handler: reply(handler, body)
    client.refresher._poll()
    assert client.value("a", 0) == 1
    assert client.refresher.problem is not None
    server.serve({"a": {"defaultValue": 3}}, etag='"2"')
    client.refresher._poll()
    assert client.value("a", 0) == 3


def test_an_unchanged_payload_is_not_sent_again(server: FeatureServer):
    server.serve({"a": {"defaultValue": 1}}, etag='"v1"')
    client = FeatureClient(GrowthBookApi(server.url, "sdk/1", {}), SLOW)
    client.refresher._poll()
    client.refresher._poll()
    assert server.requests == ["/api/features/sdk%2F1"] * 2
    assert [headers.get("if-none-match") for headers in server.headers] == [None, '"v1"']
    assert client.refresher.problem is None


def test_the_etag_of_a_refused_payload_is_not_believed(server: FeatureServer):
    client = FeatureClient(GrowthBookApi(server.url, "sdk-1", {}), SLOW)
    server.answer = lambda handler: reply(handler, b"{}", etag='"bad"')
    client.refresher._poll()
    client.refresher._poll()
    assert [headers.get("if-none-match") for headers in server.headers] == [None, None]


def test_a_redirect_is_not_followed(server: FeatureServer):
    def redirect(handler) -> None:
        handler.send_response(302)
        handler.send_header("location", f"{server.url}/elsewhere")
        handler.end_headers()

    server.answer = redirect
    client = FeatureClient(GrowthBookApi(server.url, "sdk-1", {}), SLOW)
    client.refresher._poll()
    assert server.requests == ["/api/features/sdk-1"]
    assert client.refresher.problem == "127.0.0.1 answered 302"


def test_an_answer_cut_off_is_refused(server: FeatureServer):
    def cut(handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"features":{"a":{"defaultValue":1}}}')

    server.answer = cut
    client = FeatureClient(GrowthBookApi(server.url, "sdk-1", {}), SLOW)
    client.refresher._poll()
    assert client.value("a", 0) == 0
    assert client.refresher.problem is not None


def test_a_server_that_hangs_or_drips_is_given_up(server: FeatureServer):
    def drip(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.release.wait(0.05):
            handler.wfile.write(b" ")

    for answer in (lambda handler: server.release.wait(20), drip):
        server.answer = answer
        client = FeatureClient(GrowthBookApi(server.url, "sdk-1", {}, options=QUICK), SLOW)
        client.refresher._poll()
        assert client.refresher.problem is not None


def test_a_first_read_doesnt_wait_for_a_server_that_hangs(server: FeatureServer, clients):
    server.answer = lambda handler: server.release.wait(20)
    client = FeatureClient(GrowthBookApi(server.url, "sdk-1", {}, options=QUICK), SLOW)
    clients.append(client)
    client.start()
    assert server.asked.acquire(timeout=10)
    assert client.value("a", "default") == "default"  # while the server still has the request
    assert not server.release.is_set()


def test_two_clients_with_two_keys_never_see_each_others_values(server: FeatureServer):
    server.answer = lambda handler: reply(
        handler, b'{"features":{"a":{"defaultValue":"%b"}}}' % handler.path.rsplit("/", 1)[1].encode()
    )
    one, two = (FeatureClient(GrowthBookApi(server.url, key, {}), SLOW) for key in ("k1", "k2"))
    for client in (one, two, one):
        client.refresher._poll()
    assert (one.value("a", ""), two.value("a", "")) == ("k1", "k2")


def test_a_forked_child_goes_on_refreshing(clients):
    source = ScriptedSource(a=1)
    client = FeatureClient(source, SLOW)
    clients.append(client)
    client.start()
    assert source.fetched.acquire(timeout=10)
    child = os.fork()
    if child == 0:
        ok = source.fetched.acquire(timeout=10)
        source.values = {"a": 2}
        called = threading.Event()
        client.on_refresh(lambda names: client.value("a", 0) == 2 and called.set())
        client.refresh_now()
        os._exit(0 if ok and called.wait(10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.value("a", 0) == 1


def test_a_child_of_a_client_that_never_started_starts_no_thread():
    client = FeatureClient(ScriptedSource(a=1), SLOW)
    child = os.fork()
    if child == 0:
        os._exit(client.refresher._thread is not None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_thread_ends_when_the_client_is_closed(clients):
    source = ScriptedSource(a=1)
    client = FeatureClient(source, SLOW)
    client.start()
    assert source.fetched.acquire(timeout=10)
    client.close()
    client.refresher.join(10)
    assert "byline-features" not in [thread.name for thread in threading.enumerate()]
    assert client.value("a", 0) == 1


def test_a_program_ends_at_once_while_a_fetch_hangs(server: FeatureServer):
    server.answer = lambda handler: server.release.wait(60)
    code = f"""
from byline.flags.client import FeatureClient
from byline.flags.sources.growthbook_api import GrowthBookApi
FeatureClient(GrowthBookApi({server.url!r}, "k", {{}})).start()
import sys; sys.stdin.read(1)
"""
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as program:
        assert server.asked.acquire(timeout=20)
        program.communicate(b"x", timeout=20)
    assert program.returncode == 0


def test_reading_makes_no_system_call():
    """In a process that the kernel kills for any but read and write."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        client = FeatureClient(None)
        load(client, {"flag": True, "list": [1], "text": "x"})
        for phase in ("warm", "strict"):
            # PR_SET_SECCOMP, SECCOMP_MODE_STRICT
            if phase == "strict" and ctypes.CDLL(None).prctl(22, 1, 0, 0, 0) != 0:
                os.write(write_end, b"unsupported")
                os._exit(0)
            for _ in range(2000):
                client.value("flag", False)
                client.value("text", "")
                client.value("unknown", 0)
                client.value("flag", 0)
                client.value("list", [])
        os.write(write_end, b"done")
        os._exit(0)  # which is a forbidden call: the kernel kills it here
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    if said == b"unsupported":
        pytest.skip("the kernel offers no strict seccomp here")
    assert said == b"done"
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_keys_are_not_in_what_a_source_choice_shows():
    choice = SourceChoice(kind="gateway", url="http://g", byline_key="byl_secret", decryption_key="s3cret")
    assert "secret" not in repr(choice)
    assert "s3cret" not in repr(choice)


@pytest.mark.parametrize("url", ["", "ftp://host", "host/path", "https://user:pw@host"])
def test_an_address_that_is_none_is_refused_by_name(url):
    with pytest.raises(ValueError, match="must be an address"):
        open_source(SourceChoice(kind="growthbook", url=url, client_key="k"), {})
