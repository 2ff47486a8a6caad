"""Settings -> a running system: the only place that knows every engine and every setting.

`providers` and `gateway` build a worker, `serving` the processes of `byline serve`, `ledger` what the
command line reads through.
"""
