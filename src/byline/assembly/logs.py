"""What the server's processes say on stderr."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from byline.settings import Settings


def set_up_logging(settings: Settings, process: str) -> None:
    """`process` names who speaks, such as `worker0`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if settings.log.format == "json" else _text(process))
    logging.basicConfig(level=settings.log.level.upper(), handlers=[handler], force=True)


def _text(process: str) -> logging.Formatter:
    return logging.Formatter(f"%(asctime)s %(levelname)-7s {process}: %(message)s", "%Y-%m-%d %H:%M:%S")


class _Json(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()
