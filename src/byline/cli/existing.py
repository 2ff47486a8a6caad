"""The data directory for commands that only read: they make none, and say where they looked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from byline.assembly.data_dir import DataDir, open_data_dir
from byline.cli.output import CommandError
from byline.settings import Settings


def with_rows(settings: Settings) -> DataDir:
    data_dir = DataDir(settings.data_dir.resolve())
    return _existing(settings, _of_rows(data_dir))


def with_keys(settings: Settings) -> DataDir:
    return _existing(settings, [DataDir(settings.data_dir.resolve()).control])


def with_anything(settings: Settings) -> DataDir:
    data_dir = DataDir(settings.data_dir.resolve())
    return _existing(settings, [*_of_rows(data_dir), data_dir.control, data_dir.status])


def _of_rows(data_dir: DataDir) -> list[Path]:
    """A server that starts takes the lock before it makes the rest."""
    return [data_dir.ledger, data_dir.journal, data_dir.socket, data_dir.root / "lock"]


def _existing(settings: Settings, traces: Iterable[Path]) -> DataDir:
    """Raises CommandError where there is none of `traces`."""
    root = settings.data_dir.resolve()
    if not _is_absent(root):
        data_dir = open_data_dir(settings)
        if any(path.exists() for path in traces):
            return data_dir
    raise CommandError(
        f"no data in {root} yet: start `byline serve`, or name the directory of one that ran by --config or BYLINE_DATA_DIR"
    )


def _is_absent(root: Path) -> bool:
    """What else is wrong with it, `open_data_dir` says."""
    try:
        root.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
