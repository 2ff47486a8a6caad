from __future__ import annotations

import asyncio
import threading

import pytest

import byline
from byline.runtime.current import current_identity, make_identity


def text() -> str | None:
    identity = current_identity()
    return identity.text if identity else None


def test_the_environment_is_read_at_each_call(monkeypatch):
    assert text() is None
    monkeypatch.setenv("BYLINE_IDENTITY", '{"user": "ana", "job": "1"}')
    assert text() == '{"user": "ana", "job": "1"}'
    monkeypatch.setenv("BYLINE_IDENTITY", "ben")
    assert text() == "ben"


def test_a_bad_value_is_warned_of_once_and_nothing_is_sent(monkeypatch, caplog):
    monkeypatch.setenv("BYLINE_IDENTITY", "[1]")
    assert text() is None
    monkeypatch.setenv("BYLINE_IDENTITY", "[1] ")
    assert text() is None
    assert len(caplog.messages) == 1
    assert "BYLINE_IDENTITY has invalid format" in caplog.messages[0]


def test_identify_counts_before_the_environment_and_takes_the_rest_from_it(monkeypatch):
    monkeypatch.setenv("BYLINE_IDENTITY", '{"user": "service", "job": "chat"}')
    with byline.identify(user="ana"):
        assert text() == '{"user":"ana","job":"chat"}'
        with byline.identify(job="nightly"):
            assert text() == '{"user":"ana","job":"nightly"}'
        assert text() == '{"user":"ana","job":"chat"}'
    assert text() == '{"user": "service", "job": "chat"}'


def test_half_an_identity_is_sent_as_half():
    with byline.identify(job="nightly"):
        assert text() == '{"job":"nightly"}'


def test_tasks_and_threads_keep_their_own():
    seen: dict[str, str | None] = {}

    async def act(user: str, go: asyncio.Event) -> None:
        byline.identify(user=user, job="j")
        await go.wait()
        seen[user] = text()

    async def both() -> None:
        go = asyncio.Event()
        tasks = [asyncio.create_task(act(user, go)) for user in ("ana", "ben")]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)

    with byline.identify(user="outside", job="j"):
        asyncio.run(both())
        thread = threading.Thread(target=lambda: seen.update(thread=text()))
        thread.start()
        thread.join()
        assert text() == '{"user":"outside","job":"j"}'
    assert seen == {"ana": '{"user":"ana","job":"j"}', "ben": '{"user":"ben","job":"j"}', "thread": None}


@pytest.mark.parametrize("user", ["ana@example.com", "a\nb", "sk-ant-12345678"])
def test_a_user_that_no_provider_accepts_becomes_a_hash(user, monkeypatch):
    with byline.identify(user=user, job="j"):
        unkeyed = current_identity()
    monkeypatch.setenv("BYLINE_HASH_KEY", "secret")
    with byline.identify(user=user, job="j"):
        keyed = current_identity()
    assert len(unkeyed.user) == len(keyed.user) == 32
    assert unkeyed.user != keyed.user
    assert user not in unkeyed.text


def test_names_too_long_together_are_hashed_whole():
    identity = make_identity("u" * 200, "j" * 200)
    assert len(identity.text) == 64


def test_naming_nobody_is_an_error():
    with pytest.raises(TypeError, match="a user, a job, or both"):
        byline.identify()
