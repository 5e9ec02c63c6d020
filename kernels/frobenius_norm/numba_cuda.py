"""frobenius_norm on CUDA in one pass: large, ordinary and small entries have a sum of squares each, with a scale of their own.

Each block adds up its threads' sums in a fixed order, and a second launch, of one block, adds up those of the blocks. A NaN
counts as ordinary, and an infinity as large.

References
----------
Blue 1978, A portable Fortran program to find the Euclidean norm of a vector. Anderson 2017, Algorithm 978: safe scaling in the
level 1 BLAS, section 3; here an entry is large earlier, so that the ordinary sum holds as many entries as there may be.
"""

import math
from functools import cache

import numba
from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch
from registry import register

THREADS, BLOCKS = (4, 2) if SIMULATED else (256, 1024)

# Exponents: of the largest small entry, of the smallest large one, and of the scales of small and large ones.
EXPONENTS = {numba.float32: (-63, 40, 75, -76), numba.float64: (-511, 400, 537, -538)}


@cuda.jit(device=True)
def add_up(shared, small, ordinary, large):
    """Add up three sums over a block's threads, and return the totals."""
    thread, half = cuda.threadIdx.x, THREADS // 2
    shared[0, thread], shared[1, thread], shared[2, thread] = small, ordinary, large
    cuda.syncthreads()
    while half > 0:
        if thread < half:
            for k in range(3):
                shared[k, thread] += shared[k, thread + half]
        cuda.syncthreads()  # until all sums of this round are there
        half //= 2
    return shared[0, 0], shared[1, 0], shared[2, 0]


@cache
def summing(dtype):
    """Return the kernel that sums the squares of a block's entries."""
    least, most, up, down = (dtype(2.0**exponent) for exponent in EXPONENTS[dtype])

    @jit
    def sum_squares(entries, sums):
        shared = cuda.shared.array((3, THREADS), dtype)
        small = ordinary = large = dtype(0)
        for i in range(cuda.grid(1), len(entries), cuda.gridsize(1)):
            size = abs(entries[i])
            if size > most:
                size *= down
                large += size * size
            elif size < least:
                size *= up
                small += size * size
            else:
                ordinary += size * size
        small, ordinary, large = add_up(shared, small, ordinary, large)
        if cuda.threadIdx.x == 0:
            sums[0, cuda.blockIdx.x], sums[1, cuda.blockIdx.x], sums[2, cuda.blockIdx.x] = small, ordinary, large

    return sum_squares


@cache
def finishing(dtype):
    """Return the kernel that adds up the sums of all blocks and takes the root."""
    _, _, up, down = EXPONENTS[dtype]
    down, down_again, up_again = (dtype(2.0**exponent) for exponent in (down, -up, -down))
    zero = dtype(0)

    @jit
    def finish(sums, norm):
        shared = cuda.shared.array((3, THREADS), dtype)
        small = ordinary = large = zero
        for block in range(cuda.threadIdx.x, sums.shape[1], THREADS):
            small += sums[0, block]
            ordinary += sums[1, block]
            large += sums[2, block]
        small, ordinary, large = add_up(shared, small, ordinary, large)
        if cuda.threadIdx.x == 0:
            if large != zero:
                norm[0] = dtype(math.sqrt(large + ordinary * down * down)) * up_again
            elif ordinary != zero:
                norm[0] = dtype(math.sqrt(ordinary + small * down_again * down_again))
            else:
                norm[0] = dtype(math.sqrt(small)) * down_again

    return finish


@register("frobenius_norm", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=70)
def frobenius_norm(x):
    dtype, norm = DTYPES[x.dtype], x.new_empty(1)
    sums = x.new_empty((3, min(BLOCKS, ceildiv(x.numel(), THREADS))))
    launch(summing(dtype), sums.shape[1], THREADS, x.contiguous().view(-1), sums)
    launch(finishing(dtype), 1, THREADS, sums, norm)
    return norm[0]
