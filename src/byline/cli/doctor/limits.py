"""What the system grants a gateway: as many open files as its connections need."""

from __future__ import annotations

from byline.cli.doctor.finding import Finding
from byline.gateway import open_files
from byline.settings import Settings


def look(settings: Settings) -> Finding:
    """Of this process: a service manager may grant the server another limit, which its log tells."""
    limit = open_files.limit_within_reach()
    if shortage := open_files.shortage(limit, settings.gateway.max_connections):
        return Finding("open files", "warning", f"started from here, {shortage}", open_files.REMEDY)
    connections = min(open_files.connections_carried(limit), settings.gateway.max_connections)
    return Finding("open files", "ok", f"{limit:,} a process, enough for {connections:,} connections")
