"""Byline puts a byline on every request to a model API, and keeps the books."""

from __future__ import annotations

__version__ = "0.1.0"
