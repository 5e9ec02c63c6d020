"""slerp on CUDA, a block of threads for each row: largest entries, lengths, the distances that give the angle, and the sum."""

import math
from functools import cache

import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, jit, launch, scalar
from kernels._compute.cuda_rows import THREADS, largest_of, sum_of
from registry import register


@cache
def kernel(dtype):
    zero, one, two = dtype(0), dtype(1), dtype(2)

    @cuda.jit(device=True)
    def length(x, i, parts):
        """Return a row's largest magnitude, 1 where that is 0, and its length as a multiple of that."""
        largest, total = zero, zero
        for k in range(cuda.threadIdx.x, x.shape[1], THREADS):
            largest = max(largest, abs(x[i, k]))
        largest = largest_of(parts, largest)
        if largest == zero:
            largest = one
        for k in range(cuda.threadIdx.x, x.shape[1], THREADS):
            total += (x[i, k] / largest) * (x[i, k] / largest)
        return largest, dtype(math.sqrt(sum_of(parts, total)))

    @jit
    def rows(a, b, near, far, y):
        parts = cuda.shared.array(THREADS, dtype)
        i = cuda.blockIdx.x
        unit_a, of_a = length(a, i, parts)
        unit_b, of_b = length(b, i, parts)
        apart, together = zero, zero
        for k in range(cuda.threadIdx.x, a.shape[1], THREADS):
            p, q = a[i, k] / unit_a / of_a, b[i, k] / unit_b / of_b
            apart += (p - q) * (p - q)
            together += (p + q) * (p + q)
        apart, together = sum_of(parts, apart), sum_of(parts, together)
        if of_a != zero and of_b != zero and apart != zero and together != zero:
            w = two * dtype(math.atan2(dtype(math.sqrt(apart)), dtype(math.sqrt(together))))
            whole = dtype(math.sin(w))
            near, far = dtype(math.sin(near * w)) / whole, dtype(math.sin(far * w)) / whole
        for k in range(cuda.threadIdx.x, a.shape[1], THREADS):
            y[i, k] = near * a[i, k] + far * b[i, k]

    return rows


@register("slerp", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", batches=True, rank=70)
def slerp(a, b, t):
    a, b = torch.broadcast_tensors(a, b)
    y, n = torch.empty_like(a, memory_format=torch.contiguous_format), a.shape[-1]
    if y.numel():
        whole = (rows.contiguous().view(-1, n) for rows in (a, b))
        launch(kernel(DTYPES[a.dtype]), y.numel() // n, THREADS, *whole, scalar(1 - t, a), scalar(t, a), y.view(-1, n))
    return y
