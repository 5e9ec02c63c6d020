"""matmul on CUDA with registers as the third level of blocking: each thread holds a small matrix of C.

A thread reads 4 w entries of the shared tiles for 4 w^2 products, in loads of 16 bytes (w entries: four float32, two float64).
Shared memory holds two stages: while the products of one are taken, the next is on its way through registers, so that one
barrier for each tile does. After Volkov and Demmel 2008, Benchmarking GPUs to tune dense linear algebra, and Nath, Tomov and
Dongarra 2010, An improved MAGMA GEMM for Fermi GPUs.
"""

from functools import cache

from numba import cuda, uint64

from kernels._cuda import DTYPES, SIMULATED, ceildiv, launch
from registry import register

ACROSS = 4 if SIMULATED else 16  # threads along either side of a block
DEPTH = 4 if SIMULATED else 8  # columns of A in a tile
ALIGNMENT = None if SIMULATED else 16
PADDING = 1 if SIMULATED else 4  # of a tile of A, which is stored by columns, so that the stores meet different banks


def width(dtype):
    """Return how many entries one load takes; unsigned indices and the alignment let the compiler find it."""
    return 1 if SIMULATED else 16 * 8 // dtype.bitwidth


@cache
def kernel(dtype):
    wide = width(dtype)
    own, side, threads = 2 * wide, 2 * wide * ACROSS, ACROSS * ACROSS
    share = side * DEPTH // threads  # what each thread brings of a tile
    half, padded = side // 2, side + PADDING

    @cuda.jit(cache=True)
    def fill(a, b, c):
        a_tile = cuda.shared.array((2, DEPTH, padded), dtype, alignment=ALIGNMENT)
        b_tile = cuda.shared.array((2, DEPTH, side), dtype, alignment=ALIGNMENT)
        a_next = cuda.local.array(share, dtype)
        b_next = cuda.local.array(share, dtype)
        a_own = cuda.local.array(own, dtype)
        b_own = cuda.local.array(own, dtype)
        total = cuda.local.array((own, own), dtype)
        for p in range(own):
            for q in range(own):
                total[p, q] = dtype(0)
        m, depth, n = c.shape[0], a.shape[1], c.shape[1]
        blocks_across = (n + side - 1) // side
        top, left = cuda.blockIdx.x // blocks_across * side, cuda.blockIdx.x % blocks_across * side
        thread = cuda.threadIdx.x
        row, column = thread // ACROSS * wide, thread % ACROSS * wide
        stage = 0
        for start in range(-DEPTH, depth, DEPTH):  # the first round only loads
            ahead = start + DEPTH
            if ahead < depth:
                for e in range(share):
                    i, k = top + (e * threads + thread) // DEPTH, ahead + (e * threads + thread) % DEPTH
                    a_next[e] = a[i, k] if i < m and k < depth else dtype(0)
                    k, j = ahead + (e * threads + thread) // side, left + (e * threads + thread) % side
                    b_next[e] = b[k, j] if k < depth and j < n else dtype(0)
            if start >= 0:
                for k in range(DEPTH):
                    for p in range(own):  # two runs of neighbours, half a tile apart: no two threads meet in a bank
                        at = uint64(p // wide * half + p % wide)
                        a_own[p] = a_tile[uint64(stage), uint64(k), uint64(row) + at]
                        b_own[p] = b_tile[uint64(stage), uint64(k), uint64(column) + at]
                    for p in range(own):
                        for q in range(own):
                            total[p, q] += a_own[p] * b_own[q]
            stage = 1 - stage
            if ahead < depth:
                for e in range(share):
                    at = e * threads + thread
                    a_tile[stage, at % DEPTH, at // DEPTH] = a_next[e]
                    b_tile[stage, at // side, at % side] = b_next[e]
            cuda.syncthreads()
        for p in range(own):
            for q in range(own):
                i, j = top + row + p // wide * half + p % wide, left + column + q // wide * half + q % wide
                if i < m and j < n:
                    c[i, j] = total[p, q]

    return fill


@register("matmul", "numba_cuda_blocked", arrays="torch", requires=("numba", "torch"), device="cuda", rank=56)
def matmul(a, b):
    c = a.new_empty((a.shape[0], b.shape[1]))
    dtype = DTYPES[a.dtype]
    side = 2 * width(dtype) * ACROSS
    blocks = ceildiv(c.shape[0], side) * ceildiv(c.shape[1], side)
    launch(kernel(dtype), blocks, ACROSS * ACROSS, a.contiguous(), b.contiguous(), c)
    return c
