"""Price data on disk: the last good edition that was fetched, and the own prices beside it.

A fetched edition stands for the package's data only while the package that fetched it is installed:
after an upgrade the package's own data is taken to be newer, until the next fetch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from byline.usage.prices import overrides
from byline.usage.prices.book import PriceBook
from byline.usage.prices.catalogue import PACKAGE_VERSION, Catalogue, bundled, parsed
from byline.usage.prices.cost import price
from byline.usage.record import UsageRecord

log = logging.getLogger(__name__)

KEPT_EDITIONS: Final = 3
_NAME = re.compile(r"genai-prices-(?P<package>[^-]+)-(?P<fetched>\d{8}T\d{6}Z)-(?P<hash>[0-9a-f]{8})\.json")


class PriceFiles(msgspec.Struct, frozen=True):
    """Where prices are read from."""

    directory: Path
    """`prices/` in the data directory; need not exist."""
    overrides_file: Path | None = None
    price_lists: Mapping[str, str] = {}
    """Configured provider -> the price list it charges by."""

    def load(self) -> PriceBook:
        """Raises ValueError for own prices that can't be read; a damaged edition is left aside."""
        own = overrides.NONE if self.overrides_file is None else overrides.load(self.overrides_file)
        return PriceBook(self.catalogue(), own, self.price_lists)

    def catalogue(self) -> Catalogue:
        for file in self.editions():
            try:
                return parsed(file.read_bytes(), edition(file))
            except (OSError, ValueError) as error:
                log.warning("price edition %s can't be used, taking an older one: %s", file.name, error)
        return bundled()

    def editions(self) -> list[Path]:
        """Fetched editions that this package can stand by, newest first."""
        files = [file for file in _fetched(self.directory) if _part(file, "package") == PACKAGE_VERSION]
        return sorted(files, key=lambda file: _part(file, "fetched"), reverse=True)

    def stamp(self) -> object:
        """Changes whenever `load` could read something else."""
        own = self.overrides_file
        return [file.name for file in self.editions()], own and own.exists() and own.stat().st_mtime_ns

    def keep(self, data: bytes, at: datetime) -> Path:
        """Writes a checked edition, whole or not at all, and drops the oldest ones."""
        self.directory.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(data).hexdigest()[:8]
        target = (
            self.directory
            / f"genai-prices-{PACKAGE_VERSION}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}.json"
        )
        _write_whole(target, data)
        for file in sorted(_fetched(self.directory), key=lambda file: _part(file, "fetched"))[
            :-KEPT_EDITIONS
        ]:
            file.unlink(missing_ok=True)
        return target


class CurrentPrices:
    """Prices records by the newest data on disk; looks for newer every `check_interval_s`.

    What can't be read when it changes is logged, and the prices before it stay.
    """

    def __init__(
        self, files: PriceFiles, monotonic: Callable[[], float], check_interval_s: float = 30.0
    ) -> None:
        """Raises ValueError for own prices that can't be read."""
        self._files = files
        self._monotonic = monotonic
        self._check_interval_s = check_interval_s
        self._checked_at = monotonic()
        self._stamp = self._loaded = files.stamp()
        """What the disk held when it was last looked at, and when the book was read."""
        self._book = files.load()

    def __call__(self, record: UsageRecord) -> None:
        price(record, self.book())

    def book(self) -> PriceBook:
        if self._monotonic() - self._checked_at >= self._check_interval_s:
            self._checked_at = self._monotonic()
            self._reload()
        return self._book

    def newest(self) -> PriceBook:
        """What the disk holds this moment. Raises ValueError for own prices that can't be read."""
        stamp = self._files.stamp()
        if stamp != self._loaded:
            self._take(stamp)
        return self._book

    def _take(self, stamp: object) -> None:
        self._book, self._loaded = self._files.load(), stamp
        log.info("prices are now %s", self._book.version)

    def _reload(self) -> None:
        stamp = self._files.stamp()
        if stamp in (self._stamp, self._loaded):
            return
        self._stamp = stamp
        try:
            self._take(stamp)
        except ValueError as error:
            log.error("prices stay %s: %s", self._book.version, error)  # noqa: TRY400 - the message says it all


def edition(file: Path) -> str:
    """How a fetched edition is named in `price_version`."""
    return f"genai-prices-{_part(file, 'fetched')[:8]}-{_part(file, 'hash')}"


def fetched_at(file: Path) -> datetime:
    return datetime.strptime(_part(file, "fetched"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _fetched(directory: Path) -> list[Path]:
    return [file for file in directory.glob("genai-prices-*.json") if _NAME.fullmatch(file.name)]


def _part(file: Path, name: str) -> str:
    match = _NAME.fullmatch(file.name)
    return match[name] if match else ""


def _write_whole(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".fetching-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
