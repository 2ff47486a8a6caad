"""Member names as readers match them that pass over upper and lower case.

Go's encoding/json and ASP.NET do, and of several matches the last one counts. Whoever writes a member
for such a reader must know of every other member that would be taken for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator


class AnyCase(Collection[str]):
    """Names that contain their own spellings in other letters."""

    __slots__ = ("_folded", "_names")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._folded = {name.casefold(): name for name in self._names}

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and name.casefold() in self._folded)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def respelled(self, found: Iterable[str]) -> str | None:
        """The name that one of `found` is in other letters."""
        names, folded = self._names, self._folded
        for name in found:
            if name not in names and name.casefold() in folded:
                return folded[name.casefold()]
        return None
