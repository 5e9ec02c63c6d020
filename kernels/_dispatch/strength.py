"""Which class of error is no weaker than another: its bound is nowhere larger."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels._definition.examples import derived_example
from kernels._definition.results import parts

EXTENT = 4  # of the example on which bounds are compared


def no_weaker(contract: Any, precision: str, than: str, dtype: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a class of error promises as much as another, for a dtype and a choice of parameters.

    The bounds of both follow from the operation's definition. They are compared entry by entry, on a small example: a class
    that is as good as another for one dtype, or one choice of a parameter, may be weaker for the next.

    Raises
    ------
    ValueError
        If the operation knows no such class.
    """
    contract.require_class(than)
    return precision == than or _compared(contract, precision, than, dtype, tuple(parameters.items()))


@functools.lru_cache(1024)
def _compared(contract: Any, precision: str, than: str, dtype: str, parameters: tuple[tuple[str, Any], ...]) -> bool:
    example = derived_example(contract.signature, EXTENT, **dict(parameters))
    mine, theirs = (contract.bound(*example.args, **example.kwargs, dtype=dtype, precision=each) for each in (precision, than))
    return all(bool(np.all(own <= other)) for own, other in zip(parts(mine), parts(theirs), strict=True))
