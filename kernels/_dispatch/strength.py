"""Which class of error is no weaker than another: its bound is nowhere larger."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from kernels._definition.results import parts


def no_weaker(contract: Any, precision: str, than: str, dtype: str, parameters: dict[str, Any]) -> bool:
    """Whether a class of error promises as much as another, for a dtype and a choice of parameters.

    The bounds of both follow from the operation's definition. They are compared entry by entry, on the operation's small
    example: a class that is as good as another for one dtype may be weaker for the next.

    Raises
    ------
    ValueError
        If the operation knows no such class.
    """
    contract._require_class(than)
    if precision == than:
        return True
    return _compared(contract, precision, than, dtype, tuple(parameters.items()))


@functools.lru_cache(1024)
def _compared(contract: Any, precision: str, than: str, dtype: str, parameters: tuple[tuple[str, Any], ...]) -> bool:
    size = next(iter(contract.SIZES))
    example = contract.example(size, **{key: value for key, value in parameters if isinstance(value, str)})
    mine, theirs = (
        contract.bound(*example.args, **{**example.kwargs, **dict(parameters)}, dtype=dtype, precision=each)
        for each in (precision, than)
    )
    return all(bool(np.all(own <= other)) for own, other in zip(parts(mine), parts(theirs), strict=True))
