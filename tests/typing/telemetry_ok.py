"""What telemetry takes. Checked by mypy and pyright, not run."""

from __future__ import annotations

import byline
from byline.telemetry.event import Sink
from byline.telemetry.metadata import EventValues, Metadata


class Recorder:
    def log_event(self, name: str, metadata: EventValues) -> None:
        print(name, metadata)

    async def log_event_async(self, name: str, metadata: EventValues) -> None:
        print(name, metadata)


def uses(model: str, email: str, path: str, ratio: float, count: int, flag: bool) -> None:
    byline.log_event("job_started", {})
    byline.log_event("job_started", {"shards": 12, "ratio": ratio, "is_dry": flag, "parent": None})
    byline.log_event("job_started", {"model": byline.not_code_or_path(model), "shards": count})
    byline.log_event("job_started", {"why": byline.i_verified_this_is_not_code_or_filepaths("out of space")})
    byline.log_event("job_started", {"shards": 1}, pii={"email": byline.i_verified_this_is_pii_tagged(email)})
    byline.log_event(
        "job_started", {}, pii={"file_path": byline.i_verified_this_is_pii_tagged(path), "email": None}
    )
    metadata: Metadata = {"model": byline.not_code_or_path(model), "ok": True}
    byline.log_event("job_started", metadata)
    sink: Sink = Recorder()
    attached: bool = byline.attach_sink(sink)
    print(attached)


async def uses_async(count: int) -> None:
    byline.log_event_async("job_started", {"shards": count})
    await byline.log_event_async("job_started", {"shards": count}, pii=None)
