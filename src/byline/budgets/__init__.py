"""Our own limits: what may be spent, how fast, how much at once and on which models.

`limits` says what a budget is, `book` which of them apply to a caller, `estimate` how much a request
may use, `counters` keep the sums: in the worker (`local`) or in Redis or Valkey (`redis_store`, by way of
`redis_link`, which keeps one pipelined `redis_connection` open).
Nothing here knows HTTP, prices or the control database: they come in as values and callables.
"""
