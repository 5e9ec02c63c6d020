"""outer on CUDA: a thread keeps one entry of b and takes it with some of a, so that a warp writes consecutive addresses."""

from functools import cache

import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from kernels.outer import FUNCTIONS
from registry import register

THREADS, ROWS = (8, 2) if SIMULATED else (256, 16)  # columns of a block, and rows of a thread
MULTIPLY, ADD, SUBTRACT, LESS, LESS_EQUAL, EQUAL = range(len(FUNCTIONS))


@cache
def kernel(dtype, which):
    @cuda.jit(device=True)
    def of(x, y):
        if which == MULTIPLY:
            return x * y
        if which == ADD:
            return x + y
        if which == SUBTRACT:
            return x - y
        if which == LESS:
            return x < y
        if which == LESS_EQUAL:
            return x <= y
        return x == y

    @jit
    def fill(a, b, c):
        across = (c.shape[1] + cuda.blockDim.x - 1) // cuda.blockDim.x
        first = cuda.blockIdx.x // across * ROWS
        j = cuda.blockIdx.x % across * cuda.blockDim.x + cuda.threadIdx.x
        if j < c.shape[1]:
            y = b[j]
            for i in range(first, min(first + ROWS, c.shape[0])):
                c[i, j] = of(a[i], y)

    return fill


@register("outer", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=45)
def outer(a, b, function):
    compares = function in ("less", "less_equal", "equal")
    c = a.new_empty((len(a), len(b)), dtype=torch.bool if compares else a.dtype)
    blocks = ceildiv(len(a), ROWS) * ceildiv(len(b), THREADS)
    written = c.view(torch.uint8) if compares else c
    launch(kernel(DTYPES[a.dtype], FUNCTIONS.index(function)), blocks, THREADS, a.contiguous(), b.contiguous(), written)
    return c
