"""matmul on CUDA, one thread for each entry of C, as the lecture writes it: a dot product of a row of A and a column of B.

Adjacent threads compute adjacent columns of C, so that a warp reads B and writes C at consecutive addresses.
"""

from functools import cache

from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

TILE = 8 if SIMULATED else 16


@cache
def kernel(dtype):
    @jit
    def fill(a, b, c):
        across = (c.shape[1] + cuda.blockDim.x - 1) // cuda.blockDim.x
        i = cuda.blockIdx.x // across * cuda.blockDim.y + cuda.threadIdx.y
        j = cuda.blockIdx.x % across * cuda.blockDim.x + cuda.threadIdx.x
        if i < c.shape[0] and j < c.shape[1]:
            total = dtype(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total

    return fill


@register("matmul", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=40)
def matmul(a, b):
    c = a.new_empty((a.shape[0], b.shape[1]))
    blocks = ceildiv(c.shape[0], TILE) * ceildiv(c.shape[1], TILE)
    launch(kernel(DTYPES[a.dtype]), blocks, (TILE, TILE), a.contiguous(), b.contiguous(), c)
    return c
