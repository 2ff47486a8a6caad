"""The durable local log between serving and the ledger.

A gateway worker appends with a `JournalWriter`; the ledger process follows with a `Drainer`. The
two share files alone, so either may die at any moment:

- `<writer>-<8 digits>.ndjson` is a segment. Its writer holds an exclusive `flock` on it while it may
  still append to it. A writer whose newest segment is unlocked is dead; no timer decides that.
- `<writer>-<8 digits>.offset` says how much of that segment has been delivered. It saves work after
  a restart and is never needed for correctness: stores de-duplicate by id.
- `torn/` keeps what could not be read, `refused/` what the store will never accept.

What it keeps: a start is written before its request goes upstream, so `kill -9` loses nothing; a
start whose writer died before the end becomes an `interrupted` row (also when it died between the
write and the send). Power loss loses at most `sync_interval_s`. The directory must be on a local
file system. Modules: `entries` (lines), `segments` (files and locks), `writer` with `syncing` and
`outage`, `reading`, `following` (pairs starts with ends), `draining`.
"""

from byline.usage.journal.drain_options import DrainCounters, Drained, DrainOptions
from byline.usage.journal.draining import Drainer, drain_all
from byline.usage.journal.entries import End, Entry, Event, Row, Start, Unreadable, know
from byline.usage.journal.reading import Located, read_entries
from byline.usage.journal.writer import JournalWriter, new_writer_id
from byline.usage.journal.writer_options import JournalCounters, JournalOptions, JournalTrouble

__all__ = [
    "DrainCounters",
    "DrainOptions",
    "Drained",
    "Drainer",
    "End",
    "Entry",
    "Event",
    "JournalCounters",
    "JournalOptions",
    "JournalTrouble",
    "JournalWriter",
    "Located",
    "Row",
    "Start",
    "Unreadable",
    "drain_all",
    "know",
    "new_writer_id",
    "read_entries",
]
