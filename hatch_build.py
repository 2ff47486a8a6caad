"""Builds one of two packages out of this tree: the public one, or with BYLINE_BUILD=internal the other.

The configuration leaves out what only the internal build knows; here that build takes it in. Both get
a constant that says which they are.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
INTERNAL_MODULE = ROOT / "src/byline/identity/_internal.py"
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)
_CONSTANT = '''\
"""Which build this is. Written when the package was built."""

from __future__ import annotations

BUILD = "{build}"
'''


def chosen_build() -> str:
    build = os.environ.get("BYLINE_BUILD") or "public"
    if build not in ("public", "internal"):
        raise ValueError(f'BYLINE_BUILD is "{build}": write public or internal')
    return build


def package_version() -> str:
    """The source's; an internal package says so in the version, as PEP 440 provides for local ones."""
    match = _VERSION.search((ROOT / "src/byline/__init__.py").read_text())
    if match is None:
        raise ValueError("src/byline/__init__.py names no __version__")
    return match[1] + ("+internal" if chosen_build() == "internal" else "")


class BuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        build = chosen_build()
        package = "src/byline" if self.target_name == "sdist" else "byline"
        self._scratch = tempfile.TemporaryDirectory()
        constant = Path(self._scratch.name, "_build.py")
        constant.write_text(_CONSTANT.format(build=build))
        build_data["force_include"][str(constant)] = f"{package}/_build.py"
        if build == "internal":
            self._require_internal()
            build_data["force_include"][str(INTERNAL_MODULE)] = f"{package}/identity/_internal.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._scratch.cleanup()

    def _require_internal(self) -> None:
        if self.target_name != "wheel":
            raise ValueError("the internal build is a wheel alone: hatchling build -t wheel")
        if not INTERNAL_MODULE.exists():
            raise ValueError("this tree was published and has no internal part to build")
