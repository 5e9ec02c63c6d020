"""difference_map compiled: one pass over both stacks, which adds differences to a run of places that stays in cache."""

from functools import partial

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.threads import parallel_for
from kernels.difference_map._share import share
from registry import register

RUN = 2048  # places whose sums stay in the first-level cache
GRAIN = 200_000  # differences that are worth waking a thread


@jit
def add_plane(here, there, factor, total):
    for p in range(len(total)):  # from 0, over whole arrays: the compiler makes vectors of it
        total[p] += abs(here[p] * factor - there[p] * factor)


@jit
def add_differences(a, b, factor, total, first, last):
    """Sum |a - b| times a factor, a power of two, over the planes, at some runs of places."""
    for start in range(first * RUN, min(last * RUN, total.size), RUN):
        run = slice(start, min(start + RUN, total.size))
        total[run] = 0
        for k in range(len(a)):
            add_plane(a[k, run], b[k, run], factor, total[run])


@jit
def scale(total, least, span):
    for p in range(total.size):
        total[p] = (total[p] - least) / span


def sums(a, b, factor):
    places = a.shape[2] * a.shape[3]
    total = np.empty(a.shape[2:], a.dtype)
    planes = (each.reshape(a.shape[0] * a.shape[1], places) for each in (a, b))
    add = partial(add_differences, *planes, a.dtype.type(factor), total.reshape(-1))
    parallel_for(add, -(-places // RUN), 1 + GRAIN // (RUN * a.shape[0] * a.shape[1]))
    return total


@register("difference_map", "numba", requires=("numba",), layout="C", rank=50)
@np.errstate(all="ignore")
def difference_map(a, b):
    total = sums(a, b, 1)
    if not total.size:
        return total
    most = total.max()
    if np.isinf(most):
        total = sums(a, b, share(a))
        most = total.max()
    least = total.min()
    scale(total.reshape(-1), least, most - least or total.dtype.type(1))
    return total
