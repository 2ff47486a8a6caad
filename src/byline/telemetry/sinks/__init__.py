"""Destinations. Each module wraps one and imports what it needs when it first sends."""
