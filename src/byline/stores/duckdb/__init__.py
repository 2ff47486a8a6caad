"""The embedded ledger: DuckDB in one file, opened by one process.

`DuckDBLedger` (module `ledger`) is what others use; importing this package does not load DuckDB.
"""
