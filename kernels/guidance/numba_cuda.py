"""guidance on CUDA, a block of threads for each row: the guided row, both lengths, and the rescaled row."""

from functools import cache

import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, jit, launch, scalar
from kernels._compute.cuda_rows import THREADS, lengths_of, threads_for
from registry import register


@cache
def kernel(dtype):
    zero, one, lengths = dtype(0), dtype(1), lengths_of(dtype)

    @jit
    def rows(u, c, scale, rescale, rest, y):
        parts = cuda.shared.array((2, THREADS), dtype)
        i = cuda.blockIdx.x
        for k in range(cuda.threadIdx.x, c.shape[1], cuda.blockDim.x):
            y[i, k] = u[i, k] + scale * (c[i, k] - u[i, k])
        if rescale != zero:
            unit_c, of_c, unit_g, of_g = lengths(c, y, i, parts)
            wanted = rescale * (unit_c * of_c)
            if of_g == zero:
                of_g = one
            for k in range(cuda.threadIdx.x, c.shape[1], cuda.blockDim.x):
                y[i, k] = wanted * (y[i, k] / unit_g / of_g) + rest * y[i, k]

    return rows


@register("guidance", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", batches=True, rank=70)
def guidance(unconditional, conditional, scale, rescale):
    u, c = torch.broadcast_tensors(unconditional, conditional)
    y, n = torch.empty_like(c, memory_format=torch.contiguous_format), c.shape[-1]
    if y.numel():
        whole = (rows.contiguous().view(-1, n) for rows in (u, c))
        parameters = (scalar(number, c) for number in (scale, rescale, 1 - rescale))
        launch(kernel(DTYPES[c.dtype]), y.numel() // n, threads_for(n), *whole, *parameters, y.view(-1, n))
    return y
