"""The `byline` command. Starts without the gateway extra only to say how to get it."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

_NEEDED = ("typer", "rich")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    try:
        from byline.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.exit("byline: the command line needs more packages: pip install 'byline[gateway]'")
    try:
        try:
            app(prog_name="byline")
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in (*_FULL, errno.EPIPE):
            raise
        _end_without_output(error)


def _end_without_output(error: OSError) -> NoReturn:
    """Nobody reads on, or there is no room for what was printed."""
    # What is still buffered would fail once more when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1 if error.errno == errno.EPIPE else f"byline: {error.strerror}: make room, and ask again")


if __name__ == "__main__":
    main()
