"""slerp on CUDA, a block of threads for each row: largest entries, lengths, the distances that give the angle, and the sum."""

import math
from functools import cache

import numba
import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, jit, launch, scalar
from kernels._compute.cuda_rows import THREADS, lengths_of, sums_of, threads_for
from registry import register

TERMS = {numba.float32: 7, numba.float64: 11}  # of the series of a sine: at a quarter turn the next is below half a rounding


@cache
def sine_of(dtype):
    """Return the device function sin(pi v) for v from 0 to 1: `math.sin` reduces any argument, for which it needs tables."""
    one, half_turn, terms = dtype(1), dtype(math.pi), TERMS[dtype]

    @cuda.jit(device=True)
    def sine(v):
        x = half_turn * min(v, one - v)
        term = total = x
        for k in range(1, terms):
            term *= x * x / dtype(-2 * k * (2 * k + 1))
            total += term
        return total

    return sine


@cache
def kernel(dtype):
    zero, per_turn, sine, lengths = dtype(0), dtype(2 / math.pi), sine_of(dtype), lengths_of(dtype)

    @jit
    def rows(a, b, near, far, y):
        parts = cuda.shared.array((2, THREADS), dtype)
        i = cuda.blockIdx.x
        unit_a, of_a, unit_b, of_b = lengths(a, b, i, parts)
        apart, together = zero, zero
        for k in range(cuda.threadIdx.x, a.shape[1], cuda.blockDim.x):
            p, q = a[i, k] / unit_a / of_a, b[i, k] / unit_b / of_b
            apart += (p - q) * (p - q)
            together += (p + q) * (p + q)
        apart, together = sums_of(parts, apart, together)
        if of_a != zero and of_b != zero and apart != zero and together != zero:
            w = per_turn * dtype(math.atan2(dtype(math.sqrt(apart)), dtype(math.sqrt(together))))  # in half-turns
            near, far = sine(near * w) / sine(w), sine(far * w) / sine(w)
        for k in range(cuda.threadIdx.x, a.shape[1], cuda.blockDim.x):
            y[i, k] = near * a[i, k] + far * b[i, k]

    return rows


@register("slerp", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", batches=True, rank=70)
def slerp(a, b, t):
    a, b = torch.broadcast_tensors(a, b)
    y, n = torch.empty_like(a, memory_format=torch.contiguous_format), a.shape[-1]
    if y.numel():
        whole = (rows.contiguous().view(-1, n) for rows in (a, b))
        launch(kernel(DTYPES[a.dtype]), y.numel() // n, threads_for(n), *whole, scalar(1 - t, a), scalar(t, a), y.view(-1, n))
    return y
