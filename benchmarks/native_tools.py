"""Builds the provider and the load generator from the C sources beside this file.

They are C because they share one core with each other and must not be what limits a run.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "native"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


class ToolMissingError(RuntimeError):
    """A program that the benchmark needs is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class NativeTools:
    provider: Path
    load: Path


def require(program: str, package: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ToolMissingError(f"{program} is not installed. On Debian: apt-get install {package}")
    return path


def build(directory: Path) -> NativeTools:
    compiler = require("gcc", "gcc libc6-dev")
    built: dict[str, Path] = {}
    for name in ("provider", "load"):
        built[name] = directory / name
        command = [compiler, *FLAGS, "-o", str(built[name]), str(SOURCES / f"{name}.c")]
        subprocess.run(command, check=True)
    return NativeTools(**built)
