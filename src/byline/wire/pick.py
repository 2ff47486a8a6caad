"""Several items of a container at once, by one call into C."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar, overload

Item = TypeVar("Item")


@overload
def pick(keys: Sequence[int]) -> Callable[[Sequence[Item]], tuple[Item, ...]]: ...
@overload
def pick(keys: Sequence[str]) -> Callable[[Mapping[str, Item]], tuple[Item, ...]]: ...
def pick(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """As `itemgetter(*keys)`, but always a tuple: also for one key, and for none."""
    match keys:
        case []:
            return lambda _: ()
        case [only]:
            return lambda items: (items[only],)
        case _:
            return itemgetter(*keys)
