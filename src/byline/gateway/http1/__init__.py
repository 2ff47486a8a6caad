"""HTTP/1.1 as the gateway speaks it: strict, bounded, without I/O.

What two parsers could read differently is refused here, never repaired (RFC 9112 section 11.2).
"""
