"""What workers say about a ledger that is late, gone or well."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from byline.assembly.ledger_status import LedgerStatus, LedgerWatch, reporting
from byline.usage.journal import Drainer


def status(**changes: object) -> LedgerStatus:
    well = LedgerStatus(
        pid=1, written_at=100.0, undrained_bytes=0, oldest_undrained_s=0.0, failures=0, last_error=None
    )
    return msgspec.structs.replace(well, **changes)


@pytest.mark.parametrize(
    ("written", "now", "said"),
    [
        (status(), 101.0, None),
        (status(oldest_undrained_s=60.0), 101.0, "60 s behind"),
        (status(), 130.0, "does not run"),
        (None, 101.0, None),
        (None, 130.0, "does not run"),
    ],
)
def test_a_late_or_absent_ledger_is_named(
    tmp_path: Path, written: LedgerStatus | None, now: float, said: str | None
) -> None:
    path = tmp_path / "ledger.json"
    clock = [100.0]
    watch = LedgerWatch(path, lambda: clock[0])
    if written is not None:
        path.write_bytes(msgspec.json.encode(written))
    watch.look()
    clock[0] = now
    degraded = watch.degraded()
    assert (said is None) == (degraded == [])
    assert said is None or said in degraded[0]


def test_the_ledger_process_reports_its_drainer(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    drainer = Drainer(tmp_path / "journal", lambda rows, events: None)
    path = tmp_path / "status" / "ledger.json"
    with reporting(path, drainer):
        while not path.exists():
            pass
    assert msgspec.json.decode(path.read_bytes(), type=LedgerStatus).undrained_bytes == 0
