"""outer compiled: one row at a time, and rows in parallel, since the time goes into writing the result."""

from functools import cache, partial

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.threads import parallel_for
from registry import register

GRAIN = 500_000  # entries that are worth waking a thread


@jit
def multiply(x, y):
    return x * y


@jit
def add(x, y):
    return x + y


@jit
def subtract(x, y):
    return x - y


@jit
def less(x, y):
    return x < y


@jit
def less_equal(x, y):
    return x <= y


@jit
def equal(x, y):
    return x == y


FUNCTIONS = {"multiply": multiply, "add": add, "subtract": subtract, "less": less, "less_equal": less_equal, "equal": equal}


@cache
def rows_of(function):
    """Return a compiled function that fills rows of C."""
    f = FUNCTIONS[function]

    @jit
    def fill(a, b, c, start, stop):
        for i in range(start, stop):
            for j in range(len(b)):
                c[i, j] = f(a[i], b[j])

    return fill


@register("outer", "numba", requires=("numba",), layout="C", rank=60)
def outer(a, b, function):
    c = np.empty((len(a), len(b)), bool if function in ("less", "less_equal", "equal") else a.dtype)
    parallel_for(partial(rows_of(function), a, b, c), len(a), 1 + GRAIN // max(1, len(b)))
    return c
