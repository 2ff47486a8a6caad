from __future__ import annotations

import threading
import time

import pytest

from byline.telemetry.catalogue import CATALOGUE
from byline.telemetry.counters import Counters
from byline.telemetry.delivery import Delivery, DeliveryOptions, TryAgain, Undeliverable
from byline.telemetry.event import Event, EventContext
from byline.telemetry.fanout import FanOut, FirstPartyRoute, GeneralRoute, general_values
from byline.telemetry.low_trust import low_trust_route
from byline.telemetry.reduction import Reduction, one_of, short_model, short_version, user_bucket
from byline.telemetry.sampling import Sampler
from byline.telemetry.verified import i_verified_this_is_not_code_or_filepaths as vouch
from byline.telemetry.verified import i_verified_this_is_pii_tagged as personal

FAST = DeliveryOptions(interval_s=0.01, first_retry_s=0.001)


class Recorder:
    def __init__(self, name="recorder"):
        self.name, self.counters, self.seen = name, Counters(), []

    def send(self, batch):
        self.seen += batch
        self.counters.deliver(len(batch))


class Stuck(Recorder):
    def __init__(self, name="stuck"):
        super().__init__(name)
        self.gate = threading.Event()

    def send(self, batch):
        self.gate.wait()
        super().send(batch)


def event(name="job_done", values=None, user="ada"):
    return Event(
        name, values if values is not None else {"n": 1}, time.time(), context=EventContext(user=user)
    )


def deliver(events, *routes, first_party=None, **more):
    fan_out = FanOut(routes, FirstPartyRoute(first_party, FAST) if first_party else None, **more)
    for each in events:
        fan_out.accept(each)
    fan_out.close(time.monotonic() + 20)
    return fan_out


def test_personal_values_reach_the_first_party_alone():
    general, first_party = Recorder(), Recorder()
    full = {"n": 1, "_PROTO_email": personal("ada@example.org")}
    deliver([event(values=full)], GeneralRoute(general, options=FAST), first_party=first_party)
    assert [dict(each.metadata) for each in general.seen] == [{"n": 1}]
    assert dict(first_party.seen[0].values) == full
    assert len(full) == 2


def test_values_without_personal_ones_are_passed_on_as_the_same_object():
    values = {"n": 1}
    assert general_values(values) is values
    general = Recorder()
    deliver([event(values=values)], GeneralRoute(general, options=FAST))
    assert general.seen[0].metadata is values


def test_a_sampled_event_carries_its_rate_to_every_sink():
    general, first_party = Recorder(), Recorder()
    draws = iter([0.2, 0.3, 0.1])
    sampler = Sampler(lambda name: 0.25 if name == "often" else None, lambda: next(draws))
    fan_out = deliver(
        [event("often"), event("often"), event("often"), event("seldom")],
        GeneralRoute(general, options=FAST), first_party=first_party, sampler=sampler,
    )  # fmt: skip
    assert [(each.name, each.metadata.get("sample_rate")) for each in general.seen] == [
        ("often", 0.25),
        ("often", 0.25),
        ("seldom", None),
    ]
    assert first_party.seen[0].values["sample_rate"] == 0.25
    assert fan_out.counters.dropped == {"sampled": 1}


@pytest.mark.parametrize(
    ("rate", "kept"),
    [
        (0, False),
        (-1, False),
        (1, True),
        (7, True),
        (float("nan"), True),
        ("0", True),
        (True, True),
        (None, True),
    ],
)
def test_rates_that_make_no_sense_keep_the_event(rate, kept):
    assert Sampler(lambda _: rate, lambda: 0.5).decide("a")[0] is kept


def test_a_rate_that_can_not_be_read_keeps_the_event():
    def broken(_):
        raise RuntimeError

    assert Sampler(broken).decide("a") == (True, None)


def test_a_kill_switch_silences_one_sink_and_a_broken_one_none():
    first, second, killed = Recorder("first"), Recorder("second"), {"second"}
    deliver(
        [event()],
        *(GeneralRoute(sink, options=FAST) for sink in (first, second)),
        is_killed=lambda name: name in killed,
    )
    assert (len(first.seen), len(second.seen)) == (1, 0)
    assert second.counters.dropped == {"killed": 1}

    def broken(_):
        raise RuntimeError

    deliver([event()], GeneralRoute(second, options=FAST), is_killed=broken)
    assert len(second.seen) == 1


def test_a_low_trust_sink_gets_listed_events_with_short_names_and_a_bucket_for_the_user():
    sink = Recorder()
    values = {
        "model": vouch("claude-sonnet-4-6-20260101"),
        "tool": vouch("my-own-tool"),
        "n": 3,
        "_PROTO_email": personal("x@y.zz"),
    }
    route = low_trust_route(sink, allowed=frozenset({"job_done"}), options=FAST)
    deliver([event(values=values), event("other_event")], route)
    assert [dict(each.metadata) for each in sink.seen] == [
        {"model": "claude-sonnet-4-6", "tool": "other", "n": 3, "user_bucket": user_bucket("ada")}
    ]
    assert sink.counters.dropped == {"not_allowed": 1}


def test_buckets_are_few_and_stable():
    assert {user_bucket(f"user{number}") for number in range(2000)} == set(range(30))
    assert user_bucket("ada") == user_bucket("ada") == 8


@pytest.mark.parametrize(
    ("shorten", "value", "short"),
    [
        (short_version, "1.4.2.dev7+g0a1b", "1.4.2"), (short_version, "2.0", "2.0"), (short_version, "latest", None),
        (short_model, "claude-opus-4-1-20250805", "claude-opus-4-1"), (short_model, "gpt-4o-2024-05-13", "gpt-4o"),
        (short_model, "gpt-5.1-codex", "gpt-5.1-codex"), (short_model, "ft:gpt-4o:acme::x", None), (short_model, "my-model", None),
        (one_of("a"), "a", "a"), (one_of("a"), "b", None),
    ],
)  # fmt: skip
def test_names_are_cut_to_what_is_known(shorten, value, short):
    assert shorten(value) == short


def test_a_field_of_one_event_wins_over_the_field_of_all():
    reduction = Reduction({"kind": one_of("a"), "e.kind": one_of("b")})
    assert reduction.reduce("e", {"kind": vouch("b")}, None) == {"kind": "b"}
    assert reduction.reduce("f", {"kind": vouch("b")}, None) == {"kind": "other"}


def test_a_hanging_sink_starves_no_other_and_costs_its_deadline_once():
    stuck, also_stuck, healthy = Stuck("stuck"), Stuck("also_stuck"), Recorder()
    options = DeliveryOptions(capacity=10, max_batch=5, interval_s=0.01)
    fan_out = FanOut(
        [GeneralRoute(sink, options=options) for sink in (stuck, also_stuck)]
        + [GeneralRoute(healthy, options=FAST)]
    )
    for number in range(100):
        fan_out.accept(event(values={"n": number}))
        time.sleep(0)
    fan_out._deliveries()[2].flush(time.monotonic() + 20)
    assert len(healthy.seen) >= 100
    began = time.monotonic()
    fan_out.close(began + 0.3)
    assert time.monotonic() - began < 5
    for sink in (stuck, also_stuck):
        offered = len(healthy.seen)
        assert sum(sink.counters.dropped.values()) == offered
        assert set(sink.counters.dropped) == {"queue_full", "shutdown"}
        sink.gate.set()


def test_what_is_not_sent_is_counted_by_whoever_leaves_first_and_once():
    stuck = Stuck()
    fan_out = FanOut([GeneralRoute(stuck, options=DeliveryOptions(interval_s=0.01, max_batch=2))])
    for _ in range(5):
        fan_out.accept(event())
    fan_out.write_off()  # at once, in hand or waiting
    assert stuck.counters.dropped == {"shutdown": 5}
    stuck.gate.set()
    fan_out.close(time.monotonic() + 20)
    assert stuck.counters.dropped == {"shutdown": 5}


def test_a_number_that_could_hold_a_text_goes_nowhere():
    sink = Recorder()
    fan_out = deliver([event(values={"n": 2**64})], GeneralRoute(sink, options=FAST))
    assert sink.seen == []
    assert fan_out.counters.dropped == {"unserializable": 1}


def test_losses_are_told_with_the_next_event():
    sink, queue = Recorder(), Counters()
    fan_out = FanOut([GeneralRoute(sink, options=FAST)], queue=queue)
    queue.drop("queue_full", 5)
    fan_out.accept(event())
    fan_out.accept(event())
    fan_out.close(time.monotonic() + 20)
    told = [dict(each.metadata) for each in sink.seen if each.name == "telemetry_events_dropped"]
    assert told == [{"sink": "queue", "reason": "queue_full", "count": 5}]
    assert set(told[0]) == {field.name for field in CATALOGUE["telemetry_events_dropped"].fields}


class Failing(Recorder):
    def __init__(self, *errors):
        super().__init__()
        self.errors, self.tries = list(errors), 0

    def send(self, batch):
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        super().send(batch)


@pytest.mark.parametrize(
    ("errors", "tries", "dropped"),
    [
        ([TryAgain("x"), OSError("y")], 3, {}),
        ([TryAgain("x")] * 9, 5, {"delivery_failed": 1}),
        ([Undeliverable("refused", "no")], 1, {"refused": 1}),
    ],
)
def test_what_can_not_be_sent_is_tried_again_a_few_times_unless_refused_for_good(errors, tries, dropped):
    sink = Failing(*errors)
    delivery = Delivery(sink, FAST)
    delivery.offer(event())
    assert delivery.flush(time.monotonic() + 20)
    delivery.begin_close(time.monotonic() + 20)
    delivery.finish_close()
    assert (sink.tries, sink.counters.dropped, len(sink.seen)) == (tries, dropped, 0 if dropped else 1)


def test_a_delivery_has_no_thread_before_its_first_item():
    before = threading.active_count()
    delivery = Delivery(Recorder(), FAST)
    assert threading.active_count() == before
    delivery.begin_close(0)
    delivery.finish_close()
