"""One result of many blocks' results, merged a few at a time: the tasks are linear in the blocks, and no worker holds all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

FAN_IN = 4  # results that one task merges


def merged(graph: dict[Any, Any], name: str, keys: Sequence[Any], merge: Callable[..., Any], *arguments: Any) -> Any:
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
    """
    level = 0
    while len(keys) > 1:
        level += 1
        groups = [list(keys[i : i + FAN_IN]) for i in range(0, len(keys), FAN_IN)]
        keys = [(name, level, i) for i in range(len(groups))]
        graph.update({key: (merge, group, *arguments) for key, group in zip(keys, groups, strict=True)})
    return keys[0]
