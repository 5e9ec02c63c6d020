"""difference_map on CUDA: a thread for each place adds the differences of all planes there; torch finds the range of the sums.

Each thread makes two sums, the second of fractions of the differences, which cannot overflow. Which of them is taken is decided
on the device, so that the host waits for nothing.
"""

from functools import cache

import torch
from numba import cuda

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch, scalar
from kernels.difference_map._share import share
from registry import register

THREADS = 8 if SIMULATED else 128


@cache
def kernel(dtype):
    @jit
    def add_differences(a, b, factor, total, fractions):
        p = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if p < total.shape[0]:
            whole, part = dtype(0), dtype(0)
            for k in range(a.shape[0]):
                x, y = a[k, p], b[k, p]
                whole += abs(x - y)
                part += abs(x * factor - y * factor)
            total[p] = whole
            fractions[p] = part

    return add_differences


@register("difference_map", "numba_cuda", arrays="torch", requires=("numba", "torch"), device="cuda", rank=50)
def difference_map(a, b):
    total = a.new_empty(a.shape[2:])
    if not total.numel():
        return total
    fractions, places = torch.empty_like(total), total.numel()
    planes = (each.contiguous().view(-1, places) for each in (a, b))
    sums = (each.view(places) for each in (total, fractions))
    launch(kernel(DTYPES[a.dtype]), ceildiv(places, THREADS), THREADS, *planes, scalar(share(a), a), *sums)
    total = torch.where(total.amax().isinf(), fractions, total)
    above = total - total.amin()
    span = above.amax()
    return above / torch.where(span == 0, torch.ones_like(span), span)
