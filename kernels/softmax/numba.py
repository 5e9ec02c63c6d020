"""softmax compiled: three passes in vectors over a row that stays in the cache, for the largest, the sum, and the quotients."""

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, larger, largest_of, load, splat, store, total_of
from kernels._compute.simd_exp import exp, exp_constants, load_first, store_first
from kernels._compute.threads import parallel_for
from registry import register

GRAIN = 50_000  # entries that are worth waking a thread
CONSTANTS = {np.dtype(real): exp_constants(real) for real in (np.float32, np.float64)}


@jit
def rows(x, y, n, c, start, stop):
    """Compute rows start to stop of arrays that are laid out row by row, n entries each."""
    lanes = BYTES // x.itemsize
    whole, real = n // lanes * lanes, x.dtype.type
    rest = n - whole
    for first in range(start * n, stop * n, n):
        tail = first + whole
        highest = load_first(x, tail, rest, real(-np.inf))
        for i in range(first, tail, lanes):
            highest = larger(load(x, i), highest)
        shift = splat(largest_of(highest))
        total = splat(real(0))
        for i in range(first, tail, lanes):
            weights = exp(load(x, i) - shift, c)
            total = total + weights
            store(y, i, weights)
        last = exp(load_first(x, tail, rest, real(-np.inf)) - shift, c)
        total = total + last
        factor = splat(real(1) / total_of(total))
        for i in range(first, tail, lanes):
            store(y, i, load(y, i) * factor)
        store_first(y, tail, rest, last * factor)


@register("softmax", "numba", requires=("numba",), layout="C", batches=True, rank=70)
def softmax(x):
    y = np.empty(x.shape, x.dtype)
    if y.size:
        n = x.shape[-1]
        entries, results, c = x.reshape(-1), y.reshape(-1), CONSTANTS[x.dtype]
        parallel_for(lambda start, stop: rows(entries, results, n, c, start, stop), y.size // n, 1 + GRAIN // n)
    return y
