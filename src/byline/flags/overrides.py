"""Values that an operator set by hand, over whatever a source says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from byline.flags.atomic_file import replace_file
from byline.flags.snapshot import Json

log = logging.getLogger(__name__)

VARIABLE: Final = "BYLINE_FEATURES"
Values = Mapping[str, Json]
_VALUES = msgspec.json.Decoder(dict[str, Json])


class Overrides(msgspec.Struct, frozen=True):
    """The environment's win over the configuration's."""

    env: Values = {}
    config: Values = {}

    def merged(self) -> dict[str, Json]:
        return {**self.config, **self.env}


def read_environment(environ: Mapping[str, str]) -> Values:
    """What `BYLINE_FEATURES` says; nothing, and a warning, if it is no JSON object."""
    text = environ.get(VARIABLE, "")
    if not text.strip():
        return {}
    try:
        return _VALUES.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        log.warning('%s is ignored: it must be a JSON object, such as {"fast_path": true}', VARIABLE)
        return {}


class OverridesFile:
    """Overrides that `byline flags override` writes and running processes pick up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._values: Values = {}

    def read(self) -> Values:
        """The last good content; looked at again only when the file is another one."""
        identity = self._identity()
        if identity != self._seen:
            self._seen = identity
            self._values = {} if identity is None else self._load()
        return self._values

    def write(self, values: Values) -> None:
        """Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.path, msgspec.json.format(msgspec.json.encode(values)))

    def _identity(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _load(self) -> Values:
        try:
            return _VALUES.decode(self.path.read_bytes())
        except (OSError, msgspec.MsgspecError, RecursionError):
            log.warning("%s can't be read as a JSON object: its overrides are left as they were", self.path)
            return self._values
