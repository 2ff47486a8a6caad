from __future__ import annotations

import threading
from collections.abc import Callable

from tests.flags.conftest import ScriptedSource, load

from byline.flags.client import FeatureClient, FeatureOptions
from byline.flags.overrides import Overrides, OverridesFile

SLOW = FeatureOptions(poll_interval_s=3600)


def names_into(calls: list[set[str]]) -> Callable[[frozenset[str]], None]:
    return lambda names: calls.append(set(names))


def run_jobs(client: FeatureClient) -> None:
    """What the refresh thread would do now, without a thread."""
    while client.refresher._jobs:
        client.refresher._jobs.popleft()()


def without_thread(client: FeatureClient) -> FeatureClient:
    client.refresher.start = lambda: None  # type: ignore[method-assign]
    return client


def test_new_values_are_readable_before_any_listener_runs():
    client = FeatureClient(None)
    seen: list[int] = []
    client.on_refresh(lambda names: seen.append(client.value("a", 0)))
    load(client, {"a": 1})
    load(client, {"a": 2})
    assert seen == [1, 2]


def test_listeners_hear_only_of_real_changes_and_of_the_names_that_changed():
    client = FeatureClient(None)
    calls: list[set[str]] = []
    client.on_refresh(names_into(calls))
    load(client, {"a": 1, "b": {"x": 1, "y": 2}, "gone": 1})
    load(client, {"a": 1, "b": {"y": 2, "x": 1}, "gone": 1})
    load(client, {"a": True, "b": {"y": 2, "x": 1}, "new": 1})
    assert calls == [{"a", "b", "gone"}, {"a", "gone", "new"}]


def test_a_change_behind_an_override_is_none():
    client = FeatureClient(None, FeatureOptions(overrides=Overrides({"a": 9})))
    calls: list[set[str]] = []
    client.on_refresh(names_into(calls))
    load(client, {"a": 1, "b": 1})
    load(client, {"a": 2, "b": 1})
    assert calls == [{"b"}]


def test_a_listener_that_raises_doesnt_harm_the_others():
    client = FeatureClient(None)
    calls: list[set[str]] = []

    def fail(_names: frozenset[str]) -> None:
        raise RuntimeError

    client.on_refresh(fail)
    client.on_refresh(names_into(calls))
    load(client, {"a": 1})
    load(client, {"a": 2})
    assert calls == [{"a"}, {"a"}]


def test_unsubscribing_ends_the_calls_and_is_harmless_twice():
    client = FeatureClient(None)
    calls: list[set[str]] = []
    unsubscribe = client.on_refresh(names_into(calls))
    load(client, {"a": 1})
    unsubscribe()
    unsubscribe()
    load(client, {"a": 2})
    assert calls == [{"a"}]


def test_a_listener_may_end_another_one_in_the_middle_of_a_round():
    client = FeatureClient(None)
    calls: list[set[str]] = []
    ends: list[Callable[[], None]] = []
    client.on_refresh(lambda names: ends[0]())
    ends.append(client.on_refresh(names_into(calls)))
    load(client, {"a": 1})
    assert calls == []


def test_a_late_subscriber_gets_all_names_on_the_refresh_thread_after_it_has_subscribed(clients):
    source = ScriptedSource(a=1, b=2)
    client = FeatureClient(source, SLOW)
    clients.append(client)
    client.start()
    assert source.fetched.acquire(timeout=10)
    for _ in range(50):
        returned, called = threading.Event(), threading.Event()
        seen: list[object] = []

        def listener(
            names: frozenset[str],
            seen: list[object] = seen,
            returned: threading.Event = returned,
            called: threading.Event = called,
        ) -> None:
            seen.extend([set(names), returned.is_set(), threading.current_thread().name])
            called.set()

        end = client.on_refresh(listener)
        returned.set()
        assert called.wait(10)
        assert seen == [{"a", "b"}, True, "byline-features"]
        end()


def test_a_subscriber_before_there_are_values_waits_for_them():
    client = without_thread(FeatureClient(None))
    calls: list[set[str]] = []
    client.on_refresh(names_into(calls))
    run_jobs(client)
    assert calls == []
    load(client, {"a": 1})
    assert calls == [{"a"}]


def test_the_late_call_is_dropped_if_the_listener_left_meanwhile():
    client = without_thread(FeatureClient(None))
    load(client, {"a": 1})
    calls: list[set[str]] = []
    client.on_refresh(names_into(calls))()
    run_jobs(client)
    assert calls == []


def test_the_late_call_is_dropped_if_a_reset_emptied_the_values_meanwhile():
    client = without_thread(FeatureClient(None))
    load(client, {"a": 1})
    calls: list[set[str]] = []
    client.on_refresh(names_into(calls))
    client.reset()
    run_jobs(client)
    assert calls == []
    load(client, {"a": 1})
    assert calls == [{"a"}]


def test_a_subscriber_that_comes_during_a_round_is_called_once():
    client = without_thread(FeatureClient(None))
    calls: list[set[str]] = []
    client.on_refresh(lambda names: client.on_refresh(names_into(calls)) and None)
    load(client, {"a": 1})
    run_jobs(client)
    assert calls == [{"a"}]


def test_values_fetched_for_the_user_before_a_reset_are_not_published():
    client = FeatureClient(None)
    token = client.fetching()
    client.reset()
    from byline.flags.snapshot import Evaluated
    from byline.flags.sources.source import Fetched

    client.fetched(Fetched({"a": Evaluated(1)}), token)
    assert client.value("a", 0) == 0


def test_a_reset_fetches_anew_even_what_has_not_changed(clients):
    source = ScriptedSource(a=1)
    client = FeatureClient(source, SLOW)
    clients.append(client)
    calls: list[set[str]] = []
    again = threading.Event()
    client.on_refresh(lambda names: (calls.append(set(names)), len(calls) == 2 and again.set()))
    client.start()
    assert source.fetched.acquire(timeout=10)
    client.reset()
    assert client.value("a", 0) in (0, 1)
    assert again.wait(10)
    assert (client.value("a", 0), calls) == (1, [{"a"}, {"a"}])


def test_overrides_written_by_hand_are_taken_up_and_announced(tmp_path):
    file = OverridesFile(tmp_path / "new" / "overrides.json")
    client = FeatureClient(
        None, FeatureOptions(overrides=Overrides({"pinned": 1}, {"a": "config"})), overrides_file=file
    )
    load(client, {"a": "fetched", "b": "fetched", "pinned": 0})
    calls: list[set[str]] = []
    without_thread(client).on_refresh(names_into(calls))
    file.write({"a": "by hand", "b": "by hand", "pinned": 2})
    client._watch_overrides()
    assert [client.value(name, "") for name in "ab"] == ["by hand", "by hand"]
    assert client.value("pinned", 0) == 1
    file.write({})
    client._watch_overrides()
    client._watch_overrides()
    assert [client.value(name, "") for name in "ab"] == ["config", "fetched"]
    assert calls == [{"a", "b"}, {"a", "b"}]


def test_a_broken_overrides_file_leaves_the_overrides_as_they_were(tmp_path):
    file = OverridesFile(tmp_path / "overrides.json")
    file.write({"a": 1})
    assert file.read() == {"a": 1}
    file.path.write_text("{")
    assert file.read() == {"a": 1}
    file.path.unlink()
    assert file.read() == {}
