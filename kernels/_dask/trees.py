"""One result of many blocks' results, merged a few at a time: the tasks are linear in the blocks, and no worker holds all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

FAN = 4  # results that one task merges


def merged(
    graph: dict[Any, Any], name: str, keys: Sequence[Any], merge: Callable[..., Any], *arguments: Any, fan: int = FAN
) -> Any:
    """Add tasks to a graph that merge the results of others, always in the same order, and return the last one's key.

    Parameters
    ----------
    graph : dict
        Gets the tasks.
    name : str
        What their keys begin with.
    keys : sequence
        Of the results, at least one.
    merge : callable
        Takes a list of results, and then the arguments.
    fan : int
        How many results a task merges.
    """
    level = 0
    while len(keys) > 1:
        level += 1
        groups = [list(keys[i : i + fan]) for i in range(0, len(keys), fan)]
        keys = [group[0] if len(group) == 1 else (name, level, i) for i, group in enumerate(groups)]
        graph.update({key: (merge, group, *arguments) for key, group in zip(keys, groups, strict=True) if len(group) > 1})
    return keys[0]
