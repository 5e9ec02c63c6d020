"""softmax on CUDA, one block of threads for each row: its largest entry, its sum, and its quotients, a pass for each.

Each thread takes every so manieth entry of the row, so that adjacent threads read and write at consecutive addresses. The
threads' maxima and sums meet in shared memory, where each step halves how many are left.
"""

import math
from functools import cache

import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, jit, launch
from registry import register

THREADS = 4 if SIMULATED else 256


@cache
def kernel(dtype):
    @jit
    def rows(x, y):
        parts = cuda.shared.array(THREADS, dtype)
        i, thread, n = cuda.blockIdx.x, cuda.threadIdx.x, x.shape[1]
        most = dtype(-math.inf)
        for j in range(thread, n, THREADS):
            if x[i, j] > most:
                most = x[i, j]
        parts[thread] = most
        cuda.syncthreads()
        left = THREADS // 2
        while left:
            if thread < left and parts[thread + left] > parts[thread]:
                parts[thread] = parts[thread + left]
            cuda.syncthreads()
            left //= 2
        most = parts[0]
        cuda.syncthreads()  # until all threads have read it
        total = dtype(0)
        for j in range(thread, n, THREADS):
            total += dtype(math.exp(x[i, j] - most))
        parts[thread] = total
        cuda.syncthreads()
        left = THREADS // 2
        while left:
            if thread < left:
                parts[thread] += parts[thread + left]
            cuda.syncthreads()
            left //= 2
        total = parts[0]
        for j in range(thread, n, THREADS):
            y[i, j] = dtype(math.exp(x[i, j] - most)) / total

    return rows


@register("softmax", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", batches=True, rank=50)
def softmax(x):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if y.numel():
        n = x.shape[-1]
        launch(kernel(DTYPES[x.dtype]), y.numel() // n, THREADS, x.contiguous().view(-1, n), y.view(-1, n))
    return y
