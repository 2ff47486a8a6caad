"""The `byline` command. Starts without the gateway extra only to say how to get it."""

from __future__ import annotations

import sys

_NEEDED = ("typer", "rich")


def main() -> None:
    try:
        from byline.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.exit("byline: the command line needs more packages: pip install 'byline[gateway]'")
    app(prog_name="byline")


if __name__ == "__main__":
    main()
