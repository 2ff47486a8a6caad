"""What the commands over the control database share. They work on the file itself, server or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from byline.assembly.data_dir import DataDir, open_data_dir
from byline.cli.output import CommandError
from byline.control.database import ControlDatabase, open_control
from byline.settings import Settings, load


@contextmanager
def control_database(
    config: Path | None, *, directory: Callable[[Settings], DataDir] = open_data_dir
) -> Generator[ControlDatabase]:
    """The database of that configuration; what it refuses becomes the command's error.

    `directory`: how to come by it. Commands that only list make none.
    """
    with open_control(directory(load(config, os.environ)).control) as database:
        try:
            yield database
        except (ValueError, LookupError) as error:
            raise CommandError(str(error)) from error


def time_of(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
