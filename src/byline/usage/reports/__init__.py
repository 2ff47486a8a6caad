"""What each question to the ledger means, in SQL that any engine's `Dialect` completes.

Start with `plan.plan`. Pure: no engine, no clock, no I/O. Engines run a `Plan` and shape its rows.
"""
