"""meanshift_step on CUDA over a sorted grid: a thread takes a point and walks the runs of data within its reach.

Space is cut as in `grid`: the widest axis into fine columns, up to two more into rows. A cell's number counts from the origin
of space and not from the least point, so that the host need not know where the points are: a row's is taken modulo a power
of two, and past 2^39 cells from the origin all columns are one. Cells that share a number only add data to be weighed. Points
are sorted by these keys, so that the data within reach are one contiguous run in each of a few rows. Neighbouring threads
take neighbouring points: their runs are nearly the same, and so are the addresses that they read.

A gaussian is cut where the point's own sum of weights proves that it may be (the formula is in `grid`), first at one cut, then
at a wider one. Points that prove neither are marked, and a second kernel takes those: a block for each, among all data,
relative to the nearest. It is launched for every gaussian, since only the device knows whether there are any.
"""

import math
from functools import cache

import numpy as np
import torch
from numba import cuda
from numba import uint64 as unsigned  # an index that cannot be negative: it needs no test for that at each access

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch, scalar
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step.grid import AXES, COLUMNS, MARGIN, ROWS, WIDER, cut_for
from kernels.meanshift_step.numba_cuda import GAUSSIAN, NARROW, weight
from registry import register

THREADS = 4 if SIMULATED else 256
COLUMN_BITS, ROW_BITS = 40, 8 if SIMULATED else 22  # of a key; an axis of rows has more of them than a point can reach
FAR = 2 ** (COLUMN_BITS - 1)  # cells: there the rounding of a cell's number, 2^-52 of it, is still far below the margin
UNIT = math.sqrt(math.log2(math.e) / 2)  # a bandwidth, as a gaussian counts distances


@cache
def reach_of(dtype, kind):
    """Return how many bandwidths the first cut of a kernel reaches, and how many rows that is."""
    return (cut_for(1, float(np.finfo(str(dtype)).eps) / 2), ROWS) if kind == GAUSSIAN else (1.0, 1)


def row_bits(axes):
    return ROW_BITS // max(1, axes - 1)


def sort(points, axes, bandwidth, reach, fine):
    """Return the keys of points in ascending order, that order, and the points in it, a row for each coordinate."""
    along, *across = (points.index_select(1, axes).double() / bandwidth).unbind(1)
    bits, per_bandwidth = row_bits(1 + len(across)), 1 / (reach * MARGIN)
    keys = numbers(along, COLUMNS * per_bandwidth) + FAR
    for i, coordinate in enumerate(across):
        keys += (numbers(coordinate, fine * per_bandwidth) & (2**bits - 1)) << (COLUMN_BITS + i * bits)
    keys, order = torch.sort(keys, stable=True)
    return keys, order, points.t().index_select(1, order).contiguous()


def numbers(coordinate, per_bandwidth):
    return (coordinate * per_bandwidth).floor().clamp(-FAR, FAR - 1).long()


@cuda.jit(device=True)
def first_from(keys, key, low):
    """Return the first index from `low` on whose key is not below a key."""
    high = keys.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if keys[unsigned(middle)] < key:
            low = middle + 1
        else:
            high = middle
    return low


@cache
def near(dtype, kind, d):
    """Return the kernel that moves points among the data in reach, for points of d coordinates, or where d is 0 of any number.

    A thread moves as many coordinates of one point as registers hold.
    """
    own, axes = d or NARROW, min(d or AXES, AXES)
    bits, last, mask = row_bits(axes), 2**COLUMN_BITS - 1, 2 ** row_bits(axes) - 1
    reach, fine = map(dtype, reach_of(dtype, kind))
    zero, one, wider, widest = dtype(0), dtype(1), dtype(WIDER), dtype(WIDER if kind == GAUSSIAN else 1)
    columns_per_row = dtype(COLUMNS / fine)
    unit, half, scale_of_one, weigh = dtype(np.finfo(str(dtype)).eps / 2), dtype(0.5), dtype(UNIT), weight(dtype, kind)

    @jit
    def step(keys, order, sites, data_keys, data_sites, scale, y, rest):
        moved = cuda.local.array(own, dtype)
        n, m, width = sites.shape[1], data_sites.shape[1], d or sites.shape[0]
        runs = (width + own - 1) // own
        thread = cuda.grid(1)
        i, first = thread // runs, thread % runs * own
        if i >= n:
            return
        column, row, layer = keys[i] & last, (keys[i] >> COLUMN_BITS) & mask, keys[i] >> (COLUMN_BITS + bits)
        total, stretch, proven = zero, one, False
        while stretch <= widest and not proven:
            cut, rows, total, kept = reach * stretch, fine * stretch, zero, 0
            most = int(math.ceil(rows))  # noqa: RUF046 (on the device it is a float)
            for k in range(own):
                moved[k] = zero
            for up in range(-most if axes > 2 else 0, most + 1 if axes > 2 else 1):
                for over in range(-most if axes > 1 else 0, most + 1 if axes > 1 else 1):
                    gap, gap_up = max(0, abs(over) - 1), max(0, abs(up) - 1)
                    left = rows * rows - dtype(gap * gap + gap_up * gap_up)
                    if left <= zero:
                        continue
                    span = int(math.ceil(math.sqrt(left) * columns_per_row))  # noqa: RUF046
                    start = ((((layer + up) & mask) << bits) | ((row + over) & mask)) << COLUMN_BITS
                    low = first_from(data_keys, start + max(0, column - span), 0)
                    high = first_from(data_keys, start + min(last, column + span) + 1, low)
                    kept += high - low
                    j, end = unsigned(low), unsigned(high)
                    while j < end:
                        q2 = zero
                        for k in range(width):
                            q = (data_sites[k, j] - sites[k, i]) * scale
                            q2 += q * q
                        w = weigh(q2)
                        if w > zero:  # a difference past the largest number has no weight, and 0 times infinity is NaN
                            total += w
                            for k in range(own):
                                if first + k < width:
                                    moved[k] += w * (data_sites[first + k, j] - sites[first + k, i])
                        j += unsigned(1)
            if kind == GAUSSIAN:
                farthest = zero
                for k in range(own):
                    farthest = max(farthest, abs(moved[k]))
                shift = farthest / total * scale / scale_of_one if total > zero else zero
                edge = cut * scale_of_one
                omitted = weigh(edge * edge) * (cut + shift)
                proven = omitted <= half * unit * total or (kept == m and total >= unit)
                rest[thread] = 0 if proven else 1
            stretch *= wider
        for k in range(own):
            if first + k < width:
                still = sites[first + k, i]
                y[order[i], first + k] = still + moved[k] / total if total > zero else still

    return step


@cache
def far(dtype, d):
    """Return the kernel that moves the gaussian's points which are left: a block for each, among all data."""
    own, weigh = d or NARROW, weight(dtype, GAUSSIAN)
    sums, zero, largest = own + 1, dtype(0), dtype(np.finfo(str(dtype)).max)

    @cuda.jit(device=True)
    def squared_distance(sites, i, data_sites, j, scale):
        q2 = zero
        for k in range(d or sites.shape[0]):
            q = (data_sites[k, j] - sites[k, i]) * scale
            q2 += q * q
        return min(q2, largest)

    @jit
    def step(order, sites, data_sites, scale, y, rest):
        left = cuda.shared.array(THREADS, "uint8")
        closest = cuda.shared.array(THREADS, dtype)
        parts = cuda.shared.array((THREADS, sums), dtype)
        moved = cuda.local.array(own, dtype)
        n, end, width = sites.shape[1], unsigned(data_sites.shape[1]), d or sites.shape[0]
        runs, me = (width + own - 1) // own, cuda.threadIdx.x
        # What is left lies together: a block looks at threads far apart, so that many blocks share the work.
        mine = cuda.blockIdx.x + me * cuda.gridDim.x
        left[me] = rest[mine] if mine < n * runs else 0
        cuda.syncthreads()  # until all of the block have looked
        for other in range(THREADS):
            if not left[other]:
                continue
            thread = cuda.blockIdx.x + other * cuda.gridDim.x
            i, first = thread // runs, thread % runs * own
            nearest = largest
            j = unsigned(me)
            while j < end:
                nearest = min(nearest, squared_distance(sites, i, data_sites, j, scale))
                j += unsigned(THREADS)
            closest[me] = nearest
            cuda.syncthreads()  # until all of the block have their nearest
            for part in range(THREADS):
                nearest = min(nearest, closest[part])
            total = zero
            for k in range(own):
                moved[k] = zero
            j = unsigned(me)
            while j < end:
                w = weigh(squared_distance(sites, i, data_sites, j, scale) - nearest)
                if w > zero:
                    total += w
                    for k in range(own):
                        if first + k < width:
                            moved[k] += w * (data_sites[first + k, j] - sites[first + k, i])
                j += unsigned(THREADS)
            parts[me, own] = total
            for k in range(own):
                parts[me, k] = moved[k]
            cuda.syncthreads()  # until all of the block have their sums
            for k in range(me, min(own, width - first), THREADS):
                total, shift = zero, zero
                for part in range(THREADS):
                    total += parts[part, own]
                    shift += parts[part, k]
                y[order[i], first + k] = sites[first + k, i] + shift / total
            cuda.syncthreads()  # until the sums have been read

    return step


@register(
    "meanshift_step",
    "numba_cuda_grid",
    arrays="torch",
    requires=("numba", "torch"),
    device="cuda",
    precision="truncated",
    rank=55,
)
def meanshift_step(x, bandwidth, data, kernel):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not y.numel():
        return y
    (n, d), dtype, kind = x.shape, DTYPES[x.dtype], KERNELS.index(kernel)
    low, high = torch.aminmax(data, dim=0)
    axes = torch.argsort(low.double() - high.double(), stable=True)[:AXES]  # the widest
    points = sort(x, axes, bandwidth, *reach_of(dtype, kind))
    others = points if data is x else sort(data, axes, bandwidth, *reach_of(dtype, kind))
    (keys, order, sites), (data_keys, _, data_sites) = points, others
    narrow = d if d <= NARROW else 0
    threads = n * ceildiv(d, narrow or NARROW)
    rest = torch.empty(threads, dtype=torch.uint8, device=x.device)
    scale, blocks = scalar((UNIT if kind == GAUSSIAN else 1) / bandwidth, x), ceildiv(threads, THREADS)
    launch(near(dtype, kind, narrow), blocks, THREADS, keys, order, sites, data_keys, data_sites, scale, y, rest)
    if kind == GAUSSIAN:
        launch(far(dtype, narrow), blocks, THREADS, order, sites, data_sites, scale, y, rest)
    return y
