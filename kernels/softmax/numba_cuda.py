"""softmax on CUDA, some threads for each row: its largest entry, its sum, and its quotients, a pass for each.

Short rows share a block, a warp for each, and a long one has the block for itself. Adjacent threads read and write at
consecutive addresses. The threads' maxima and sums meet in shared memory, where each step halves how many are left.
"""

import math
from functools import cache

import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

THREADS, WARP, SHORT = (4, 2, 8) if SIMULATED else (256, 32, 1024)  # of a block, of a short row, and the longest of those


@cache
def kernel(dtype, lanes):
    """Return the kernel that has so many threads for each row."""

    @jit
    def rows(x, y):
        parts = cuda.shared.array(THREADS, dtype)
        thread = cuda.threadIdx.x
        lane = thread % lanes
        i = cuda.blockIdx.x * (THREADS // lanes) + thread // lanes
        n = x.shape[1] if i < x.shape[0] else 0  # threads without a row meet the others at each barrier
        most = dtype(-math.inf)
        for j in range(lane, n, lanes):
            if x[i, j] > most:
                most = x[i, j]
        parts[thread] = most
        cuda.syncthreads()
        left = lanes // 2
        while left:
            if lane < left and parts[thread + left] > parts[thread]:
                parts[thread] = parts[thread + left]
            cuda.syncthreads()
            left //= 2
        most = parts[thread - lane]
        cuda.syncthreads()  # until all threads have read it
        total = dtype(0)
        for j in range(lane, n, lanes):
            total += dtype(math.exp(x[i, j] - most))
        parts[thread] = total
        cuda.syncthreads()
        left = lanes // 2
        while left:
            if lane < left:
                parts[thread] += parts[thread + left]
            cuda.syncthreads()
            left //= 2
        total = parts[thread - lane]
        for j in range(lane, n, lanes):
            y[i, j] = dtype(math.exp(x[i, j] - most)) / total

    return rows


@register("softmax", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", batches=True, rank=50)
def softmax(x):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if y.numel():
        n = x.shape[-1]
        lanes = WARP if n <= SHORT else THREADS
        blocks = ceildiv(y.numel() // n, THREADS // lanes)
        launch(kernel(DTYPES[x.dtype], lanes), blocks, THREADS, x.contiguous().view(-1, n), y.view(-1, n))
    return y
