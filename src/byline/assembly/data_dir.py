"""Where things lie in `data_dir`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from byline.settings import Settings, SettingsError


class DataDir(msgspec.Struct, frozen=True):
    root: Path

    @property
    def control(self) -> Path:
        return self.root / "control.sqlite3"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.duckdb"

    @property
    def socket(self) -> Path:
        return self.root / "ledger.sock"

    @property
    def status(self) -> Path:
        """What each worker last said about itself."""
        return self.root / "status"

    @property
    def flags(self) -> Path:
        """The last feature values, and those set by hand."""
        return self.root / "flags"


def open_data_dir(settings: Settings) -> DataDir:
    """Made if absent, for its owner alone: it holds key hashes and who used what."""
    root = settings.data_dir.resolve()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"data_dir {root} can't be made: {error.strerror}; set data_dir to a directory of your own"
        ) from error
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"data_dir {root} can't be read and written by this user: mend its permissions")
    return DataDir(root)
