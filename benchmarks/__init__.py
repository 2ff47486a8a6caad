"""Benchmarks and fault runs: what Byline costs, and what it keeps when things break.

Run from the root of a checkout: `make bench`, `make crash`, `make outage`. Nothing here is shipped.
"""
