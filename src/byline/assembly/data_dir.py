"""Where things lie in `data_dir`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from byline.settings import Settings


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
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DataDir(settings.data_dir.resolve())
