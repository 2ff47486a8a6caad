"""Feature values that never block: read from memory at any moment, refreshed behind the reader's back.

`client` puts the parts together. A read (`reader`) looks at overrides, then at one whole snapshot: what
was fetched last, else what the disk kept from an earlier run. One thread (`refresh`) asks a source for
news, tells listeners and keeps the disk's snapshot. The payload is GrowthBook's; its rules are evaluated by the
growthbook package, as a pure function (`rules`), once per refresh and not per read.

Refuses: to block or raise on a read, to do I/O there, to mix two snapshots.
"""
