"""matmul on CUDA with registers as the third level of blocking: each thread holds a small matrix of C.

One load takes w adjacent entries, 16 bytes: four of float32, or two of float64. For each k a thread loads 2 w entries of A and
2 w entries of B from shared memory, and computes 4 w^2 products. Shared memory holds two stages. While a block multiplies the
tiles of one stage, it loads the next tiles into registers, and from there stores them to the other stage. So one barrier
for each tile is enough.

References
----------
Volkov and Demmel 2008, Benchmarking GPUs to tune dense linear algebra. Nath, Tomov and Dongarra 2010, An improved MAGMA GEMM
for Fermi GPUs.
"""

from functools import cache

from numba import cuda
from numba import uint64 as unsigned

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

ACROSS = 4 if SIMULATED else 16  # threads along either side of a block
DEPTH = 4 if SIMULATED else 8  # columns of A in a tile
ALIGNMENT = None if SIMULATED else 16
PADDING = 1 if SIMULATED else 4  # of each column of a tile of A, so that the stores of a warp go to different banks


def width(dtype):
    """Return how many entries one load takes. The compiler makes such loads where indices are unsigned and arrays aligned."""
    return 1 if SIMULATED else 16 * 8 // dtype.bitwidth


@cache
def kernel(dtype):
    wide = width(dtype)
    per_thread, side, threads = 2 * wide, 2 * wide * ACROSS, ACROSS * ACROSS
    loads = side * DEPTH // threads  # entries of each tile that a thread loads: in one column, a fixed number of rows apart
    a_rows, b_rows, padded = unsigned(threads // DEPTH), unsigned(threads // side), side + PADDING
    edge, half, high, across, run = (unsigned(extent) for extent in (side, side // 2, DEPTH, ACROSS, wide))

    @jit
    def fill(a, b, c):
        a_tile = cuda.shared.array((2, DEPTH, padded), dtype, alignment=ALIGNMENT)
        b_tile = cuda.shared.array((2, DEPTH, side), dtype, alignment=ALIGNMENT)
        a_next = cuda.local.array(loads, dtype)
        b_next = cuda.local.array(loads, dtype)
        a_fragment = cuda.local.array(per_thread, dtype)
        b_fragment = cuda.local.array(per_thread, dtype)
        total = cuda.local.array((per_thread, per_thread), dtype)
        for p in range(per_thread):
            for q in range(per_thread):
                total[p, q] = dtype(0)
        m, depth, n = unsigned(c.shape[0]), unsigned(a.shape[1]), unsigned(c.shape[1])
        blocks_across = (n + edge - unsigned(1)) // edge
        block, thread = unsigned(cuda.blockIdx.x), unsigned(cuda.threadIdx.x)
        top, left = block // blocks_across * edge, block % blocks_across * edge
        row, column = thread // across * run, thread % across * run
        a_row, a_column, b_row, b_column = thread // high, thread % high, thread // edge, thread % edge
        stage, ahead = unsigned(0), unsigned(0)
        while ahead < depth + high:  # the first round only loads
            if ahead < depth:
                for e in range(loads):
                    i, k = top + a_row + unsigned(e) * a_rows, ahead + a_column
                    a_next[e] = a[i, k] if i < m and k < depth else dtype(0)
                    k, j = ahead + b_row + unsigned(e) * b_rows, left + b_column
                    b_next[e] = b[k, j] if k < depth and j < n else dtype(0)
            if ahead > unsigned(0):
                for pair in range(DEPTH // 2):  # two columns for one turn of the loop
                    for of_pair in range(2):
                        k = unsigned(2 * pair + of_pair)
                        for p in range(
                            per_thread
                        ):  # two runs of adjacent entries, half a tile apart: no two threads read one bank
                            at = unsigned(p) // run * half + unsigned(p) % run
                            a_fragment[p] = a_tile[stage, k, row + at]
                            b_fragment[p] = b_tile[stage, k, column + at]
                        for p in range(per_thread):
                            for q in range(per_thread):
                                total[p, q] += a_fragment[p] * b_fragment[q]
            stage = unsigned(1) - stage
            if ahead < depth:
                for e in range(loads):
                    a_tile[stage, a_column, a_row + unsigned(e) * a_rows] = a_next[e]
                    b_tile[stage, b_row + unsigned(e) * b_rows, b_column] = b_next[e]
            cuda.syncthreads()
            ahead += high
        for p in range(per_thread):
            for q in range(per_thread):
                i = top + row + unsigned(p) // run * half + unsigned(p) % run
                j = left + column + unsigned(q) // run * half + unsigned(q) % run
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
