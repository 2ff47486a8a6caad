from __future__ import annotations

from typing import Any

import pytest

from byline.flags.fitting import MISFIT, fit
from byline.gateway.own_flags import DRAIN_MAX_STREAMS, LOG_LEVEL, OWN_FLAGS, SINKS_OFF, Steering


class Values(dict[str, Any]):
    def read(self, name: str, default: Any) -> Any:
        found = fit(self.get(name, default), default)
        return default if found is MISFIT else found


def test_a_flag_is_applied_at_once_and_then_only_when_it_changes():
    values, applied = Values({LOG_LEVEL.name: "debug"}), []
    steering = Steering(values.read)
    steering.wire(LOG_LEVEL, applied.append)
    steering.refresh()
    values[LOG_LEVEL.name] = "error"
    steering.refresh()
    steering.refresh()
    del values[LOG_LEVEL.name]
    steering.refresh()
    assert applied == ["debug", "error", "info"]


def test_the_settings_default_stands_in_for_the_flags_own():
    applied: list[int] = []
    Steering(Values().read).wire(DRAIN_MAX_STREAMS, applied.append, 7)
    assert applied == [7]


@pytest.mark.parametrize(
    ("flag", "value"),
    [(LOG_LEVEL, "loud"), (LOG_LEVEL, None), (DRAIN_MAX_STREAMS, -1), (DRAIN_MAX_STREAMS, "many"), (SINKS_OFF, [1])],
)  # fmt: skip
def test_a_value_against_the_rule_is_the_default(flag, value, caplog):
    applied: list[object] = []
    steering = Steering(Values({flag.name: value}).read)
    steering.wire(flag, applied.append)
    steering.refresh()
    assert applied == [flag.default]
    assert len(caplog.records) <= 1


def test_one_part_that_fails_doesnt_keep_the_others_from_their_values():
    values, applied = Values(), []
    steering = Steering(values.read)

    def fail(value: str) -> None:
        if value != "info":
            raise RuntimeError

    steering.wire(LOG_LEVEL, fail)
    steering.wire(DRAIN_MAX_STREAMS, applied.append)
    values.update({LOG_LEVEL.name: "debug", DRAIN_MAX_STREAMS.name: 1})
    steering.refresh()
    assert applied == [64, 1]


def test_every_default_keeps_its_own_rule():
    assert [flag.name for flag in OWN_FLAGS if not flag.allowed(flag.default)] == []
    assert len({flag.name for flag in OWN_FLAGS}) == len(OWN_FLAGS)
