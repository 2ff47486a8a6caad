"""What is raised for settings that can't be used."""

from __future__ import annotations

from collections.abc import Sequence


class SettingsError(ValueError):
    """Settings that can't be used. A line for each problem: where it stands, the key, the remedy."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems
