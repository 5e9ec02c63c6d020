"""guidance compiled, row by row: the guided row, both lengths, and the rescaled row while it is in cache."""

import functools

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.lengths import length
from kernels._compute.threads import parallel_for
from registry import register

GRAIN = 20_000  # entries that are worth waking a thread


@jit(error_model="numpy")
def rows(u, c, scale, rescale, y, start, stop):
    real = c.dtype.type
    scale, rescale, rest = real(scale), real(rescale), real(1 - rescale)
    for i in range(start, stop):
        for k in range(c.shape[1]):
            y[i, k] = u[i, k] + scale * (c[i, k] - u[i, k])
        if rescale == 0:
            continue
        (unit_c, of_c), (unit_g, of_g) = length(c[i]), length(y[i])
        wanted, unit, by = rescale * (real(unit_c) * real(of_c)), real(unit_g), real(0)
        if of_g != 0:
            by = real(1) / real(of_g) if of_g < np.inf else real(np.nan)
        for k in range(c.shape[1]):
            y[i, k] = wanted * (y[i, k] / unit * by) + rest * y[i, k]


@register("guidance", "numba", requires=("numba",), layout="C", batches=True, rank=60)
def guidance(unconditional, conditional, scale, rescale):
    shape = conditional.shape
    if unconditional.shape != shape:
        shape = np.broadcast_shapes(unconditional.shape, shape)
    u, c = (x if x.shape == shape else np.broadcast_to(x, shape).copy() for x in (unconditional, conditional))
    y = np.empty(shape, c.dtype)
    if y.size:
        whole = [x.reshape(-1, shape[-1]) for x in (u, c, y)]
        work = functools.partial(rows, *whole[:2], scale, rescale, whole[2])
        parallel_for(work, len(whole[2]), 1 + GRAIN // shape[-1])
    return y
