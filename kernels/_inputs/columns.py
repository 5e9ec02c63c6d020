"""Which columns of a person's file are taken, and which rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


def column_indices(chosen: str, names: Sequence[str]) -> list[int]:
    """Return the indices, from 0, of the columns in a list such as "height,3-5"; a column without a name has the name "".

    A number is a position, from 1; where the table has no such position, it is a name (2020 may head a column).
    """
    indices = (index for part in chosen.split(",") for index in _part(part.strip(), names))
    return list(dict.fromkeys(indices))  # each once, in the order chosen


def _part(part: str, names: Sequence[str]) -> list[int]:
    if bounds := re.fullmatch(r"(\d+)(?:-(\d+))?", part):
        first, last = int(bounds[1]), int(bounds[2] or bounds[1])
        if 1 <= first <= last <= len(names):
            return list(range(first - 1, last))
    found = [index for index, name in enumerate(names) if name == part and name]
    if len(found) > 1:
        raise ValueError(f"{len(found)} columns are called {part!r}; choose by position, such as {found[0] + 1}")
    if not found:
        raise ValueError(f"it has no column {part!r}; there are {', '.join(labels(names))}")
    return found


def labels(names: Sequence[str]) -> list[str]:
    """Return what to call each column: its name, or else its position; the middle of a long list is left out."""
    every = [name or str(index) for index, name in enumerate(names, 1)]
    return every if len(every) <= 12 else [*every[:10], "...", every[-1]]


def leave_out(others: Sequence[str], refuse: bool, tell: Callable[[str], None]) -> None:
    """Tell which columns are left out because they hold no numbers, or refuse them."""
    if others and refuse:
        raise ValueError(f"these columns hold no numbers: {', '.join(labels(others))}")
    if others:
        tell(f"{len(others)} column{'s' * (len(others) > 1)} without numbers left out: {', '.join(labels(others))}")


def require_rows(complete: int, rows: int, tell: Callable[[str], None]) -> None:
    """Tell how many rows are left out because they lack a value; refuse a file that has no complete row."""
    if not complete:
        raise ValueError(f"each of its {rows} rows lacks a value in some column; choose columns that have values")
    if complete < rows:
        tell(f"{rows - complete} of {rows} rows left out: a value is missing")
