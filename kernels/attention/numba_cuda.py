"""attention on CUDA, a block of threads for each query: a softmax that runs over the keys, as many at a time as threads.

Each thread computes the score of one key and its weight relative to the largest so far. Then each takes a column of the
values: it adds up the weighted values of that column, which adjacent threads read at consecutive addresses. Where values have
more columns than a block has threads, other blocks take the next ones, with the same weights.

References
----------
Milakov and Gimelshein 2018, Online normalizer calculation for softmax, algorithm 3.
"""

import math
from functools import cache

import numpy as np
from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, exp2, jit, launch, scalar
from registry import register

THREADS = 8 if SIMULATED else 128


@cache
def kernel(dtype):
    zero, minus_infinity = dtype(0), dtype(-np.inf)

    @jit
    def attend(q, k, v, scale, last, y):
        weights = cuda.shared.array(THREADS, dtype)
        scores = cuda.shared.array(THREADS, dtype)
        thread, across = cuda.threadIdx.x, (v.shape[1] + THREADS - 1) // THREADS
        i, column = cuda.blockIdx.x // across, cuda.blockIdx.x % across * THREADS + thread
        seen = min(k.shape[0], i + last)
        largest, total, moved = minus_infinity, zero, zero
        for start in range(0, seen, THREADS):
            j = start + thread
            score = minus_infinity
            if j < seen:
                score = zero
                for p in range(q.shape[1]):
                    score += q[i, p] * k[j, p]
                score *= scale
            scores[thread] = score
            cuda.syncthreads()  # until all scores are there, and all threads have read the weights before
            count, now = min(THREADS, seen - start), largest
            for other in range(count):
                now = max(now, scores[other])
            kept = exp2(largest - now)
            total, moved, largest = total * kept, moved * kept, now
            weights[thread] = exp2(score - now)
            cuda.syncthreads()  # until all weights are there, and all threads have read the scores
            for other in range(count):
                total += weights[other]
                if column < v.shape[1]:
                    moved += weights[other] * v[start + other, column]
        if column < v.shape[1]:
            y[i, column] = moved / total if seen > 0 else zero

    return attend


@register("attention", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=50)
def attention(q, k, v, causal):
    (n, d), (m, e) = q.shape, v.shape
    y = q.new_empty((n, e))
    scale = scalar(math.log2(math.e) / math.sqrt(max(1, d)), q)
    last = np.int64(m - n + 1 if causal else m)  # query i sees keys before i + last
    blocks = n * ceildiv(e, THREADS)
    launch(kernel(DTYPES[q.dtype]), blocks, THREADS, q.contiguous(), k.contiguous(), v.contiguous(), scale, last, y)
    return y
