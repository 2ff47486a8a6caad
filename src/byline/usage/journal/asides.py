"""What can't go to the store is kept for a person to look at: `torn/` and `refused/`.

`torn/<segment>` collects lines as they stand in the segment; after a crash of the drainer a line
may be there twice. `refused/<id>.json` is one row or event with what the store said about it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

from byline.usage.journal.entries import Columns
from byline.usage.journal.segments import Segment
from byline.usage.record import UsageRecord

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def keep_torn(segment: Segment, line: bytes) -> Path:
    directory = segment.directory / "torn"
    directory.mkdir(exist_ok=True)
    path = directory / segment.name
    with path.open("ab") as file:
        file.write(line + b"\n")
    return path


def keep_refused(directory: Path, item: UsageRecord | Columns, reason: str) -> Path:
    kind, key = ("end", item.request_id) if isinstance(item, UsageRecord) else ("event", item.get("event_id"))
    path = directory / "refused" / f"{_file_name(str(key))}.json"
    path.parent.mkdir(exist_ok=True)
    nascent = path.with_suffix(".new")
    nascent.write_bytes(msgspec.json.encode({"reason": reason, "entry": kind, "columns": item}))
    nascent.rename(path)
    return path


def _file_name(key: str) -> str:
    """Ids may come from clients: nothing but harmless characters, and still one name an id."""
    safe = _UNSAFE.sub("_", key)[:80]
    return safe if safe == key else f"{safe}-{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:16]}"
