"""What a contract hands out as an example: one call of its operation, ready to make."""

from __future__ import annotations

from typing import Any, NamedTuple


class Example(NamedTuple):
    """A call of an operation.

    Attributes
    ----------
    args, kwargs
        The operation's arguments, as NumPy arrays and plain values.
    title : str
        What it is, for a heading.
    steps : int
        How often the operation is applied, each time with the last result in place of the first array.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    title: str
    steps: int = 1
