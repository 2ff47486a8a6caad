"""The ledger as other processes reach it: a Unix socket in `data_dir`, mode 0600.

One question per connection: a frame with the question, then frames with the answer (`frames`).
`server.LedgerServer` answers from an open store, `client.LedgerClient` asks.
"""
