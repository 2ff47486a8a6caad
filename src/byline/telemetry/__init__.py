"""Events that cannot leak, slow or stop the program that logs them.

Typed metadata (`verified`, `metadata`, `grammar`) goes into a queue (`queue`, `process`) that holds events
until a sink is attached. The usual sink is the fan-out (`fanout`), which takes personal values out once,
samples, and offers each destination its view through a queue and thread of its own (`delivery`); `sinks`
wraps the destinations, `rows` and `spool` make the first party's rows durable. `catalogue` declares
Byline's own events. Knows no gateway, no ledger and no flags: those come in as callables.
"""
