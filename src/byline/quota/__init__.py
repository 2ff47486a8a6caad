"""How much a provider still allows: headers -> QuotaSnapshot -> Notice -> text.

No I/O and no clock: times are arguments, and what is kept is kept by the caller. Start in `reading`
(headers to snapshot), `notice` (snapshot to what a person should read) and `text` (the words).
"""
