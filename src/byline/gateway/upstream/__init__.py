"""Connections to the providers: dialled, pooled, checked before use, closed on any doubt."""
