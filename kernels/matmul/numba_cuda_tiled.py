"""matmul on CUDA through shared memory: a block of threads loads a tile of A and a tile of B, and all its threads use them.

So an entry is loaded from global memory once for each tile of C that needs it, instead of once for each entry of C that needs it.

References
----------
Kirk and Hwu, Programming Massively Parallel Processors, chapter "Memory architecture and data locality".
"""

from functools import cache

from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

TILE = 8 if SIMULATED else 32


@cache
def kernel(dtype, tile):
    @jit
    def fill(a, b, c):
        a_tile = cuda.shared.array((tile, tile), dtype)
        b_tile = cuda.shared.array((tile, tile), dtype)
        row, column = cuda.threadIdx.y, cuda.threadIdx.x
        across = (c.shape[1] + tile - 1) // tile
        i = cuda.blockIdx.x // across * tile + row
        j = cuda.blockIdx.x % across * tile + column
        total = dtype(0)
        for start in range(0, a.shape[1], tile):
            a_tile[row, column] = a[i, start + column] if i < a.shape[0] and start + column < a.shape[1] else dtype(0)
            b_tile[row, column] = b[start + row, j] if start + row < b.shape[0] and j < b.shape[1] else dtype(0)
            cuda.syncthreads()
            for k in range(tile):
                total += a_tile[row, k] * b_tile[k, column]
            cuda.syncthreads()  # no thread may overwrite these tiles while another still reads them
        if i < c.shape[0] and j < c.shape[1]:
            c[i, j] = total

    return fill


@register("matmul", "numba_cuda_tiled", arrays="torch", requires=("numba", "torch"), device="cuda", rank=52)
def matmul(a, b):
    c = a.new_empty((a.shape[0], b.shape[1]))
    blocks = ceildiv(c.shape[0], TILE) * ceildiv(c.shape[1], TILE)
    launch(kernel(DTYPES[a.dtype], TILE), blocks, (TILE, TILE), a.contiguous(), b.contiguous(), c)
    return c
