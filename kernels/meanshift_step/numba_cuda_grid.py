"""meanshift_step on CUDA over a sorted grid: a thread takes a point, and goes through the runs of data within its cutoff.

The widest axis is divided into columns, and up to two more axes into rows. A cell's number counts from the origin of space and
not from the least point, so the host need not know where the points are. A row's number is taken modulo a power of two, and all
columns beyond 2^39 cells from the origin are one: where cells share a number, more data are weighed, and that is all. Points
are sorted by these keys, so the data within the cutoff are one contiguous run in each of a few rows. Adjacent threads take
adjacent points: their runs are nearly the same, and so are the addresses that they read.

A gaussian's cutoff is proven for each point by (1) of `_cutoff`: first one cutoff, then a wider one. Points that prove neither
are marked. A second kernel takes those, a block for each point, with all data and weights relative to the nearest datum's. It
is launched for every gaussian, since only the device knows whether any point is marked.
"""

import math
from functools import cache

import numpy as np
import torch
from numba import cuda
from numba import uint64 as unsigned  # an index that cannot be negative: it needs no test for that at each access

from kernels._compute.cuda import DTYPES, SIMULATED, ceildiv, jit, launch, scalar
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._cuda import GAUSSIAN, GAUSSIAN_SCALE, NARROW, scale_of, weight
from kernels.meanshift_step._cutoff import AXES, COLUMNS_PER_CUTOFF, MARGIN, ROWS_PER_CUTOFF, WIDER, cutoff_for
from registry import register

THREADS = 4 if SIMULATED else 256
COLUMN_BITS, ROW_BITS = 40, 8 if SIMULATED else 22  # of a key; an axis has more rows than a cutoff
FAR = 2 ** (COLUMN_BITS - 1)  # cells: there the rounding of a cell's number, 2^-52 of it, is still far below the margin


@cache
def cutoff_of(dtype, kind):
    """Return the first cutoff of a kernel in bandwidths, and in rows."""
    return (cutoff_for(1, float(np.finfo(str(dtype)).eps) / 2), ROWS_PER_CUTOFF) if kind == GAUSSIAN else (1.0, 1)


def row_bits(axes):
    return ROW_BITS // max(1, axes - 1)


def sort(points, axes, bandwidth, cutoff, rows):
    """Return the keys of points in ascending order, shape (n,), that order, (n,), and the points in that order, (d, n)."""
    along, *across = (points.index_select(1, axes).double() / bandwidth).unbind(1)
    bits, per_bandwidth = row_bits(1 + len(across)), 1 / (cutoff * MARGIN)
    keys = cell_numbers(along, COLUMNS_PER_CUTOFF * per_bandwidth) + FAR
    for i, coordinate in enumerate(across):
        keys += (cell_numbers(coordinate, rows * per_bandwidth) & (2**bits - 1)) << (COLUMN_BITS + i * bits)
    keys, order = torch.sort(keys, stable=True)
    return keys, order, points.t().index_select(1, order).contiguous()


def cell_numbers(coordinate, per_bandwidth):
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
    """Return the kernel that moves points by the data within their cutoff, for d coordinates, or for any number where d is 0.

    A thread moves up to `per_thread` coordinates of one point.
    """
    per_thread, axes = d or NARROW, min(d or AXES, AXES)
    bits, last, mask = row_bits(axes), 2**COLUMN_BITS - 1, 2 ** row_bits(axes) - 1
    base, base_rows = map(dtype, cutoff_of(dtype, kind))
    zero, one, wider, widest = dtype(0), dtype(1), dtype(WIDER), dtype(WIDER if kind == GAUSSIAN else 1)
    columns_per_row = dtype(COLUMNS_PER_CUTOFF / base_rows)
    u, half, scale_of_one, weigh = dtype(np.finfo(str(dtype)).eps / 2), dtype(0.5), dtype(GAUSSIAN_SCALE), weight(dtype, kind)

    @jit
    def step(keys, order, sites, data_keys, data_sites, scale, y, rest):
        moved = cuda.local.array(per_thread, dtype)
        n, m, width = sites.shape[1], data_sites.shape[1], d or sites.shape[0]
        runs = (width + per_thread - 1) // per_thread
        thread = cuda.grid(1)
        i, first = thread // runs, thread % runs * per_thread
        if i >= n:
            return
        column, row, layer = keys[i] & last, (keys[i] >> COLUMN_BITS) & mask, keys[i] >> (COLUMN_BITS + bits)
        total, stretch, proven = zero, one, False
        while stretch <= widest and not proven:
            cutoff, rows, total, kept = base * stretch, base_rows * stretch, zero, 0
            most = int(math.ceil(rows))  # noqa: RUF046 (on the device it is a float)
            for k in range(per_thread):
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
                        if w > zero:  # an infinite difference has no weight, but 0 times infinity would be NaN
                            total += w
                            for k in range(per_thread):
                                if first + k < width:
                                    moved[k] += w * (data_sites[first + k, j] - sites[first + k, i])
                        j += unsigned(1)
            if kind == GAUSSIAN:
                farthest = zero
                for k in range(per_thread):
                    farthest = max(farthest, abs(moved[k]))
                shift = farthest / total * scale / scale_of_one if total > zero else zero
                edge = cutoff * scale_of_one
                omitted = weigh(edge * edge) * (cutoff + shift)  # (1) of `_cutoff`, over h / W, for one datum
                proven = omitted <= half * u * total or (kept == m and total >= u)
                rest[thread] = 0 if proven else 1
            stretch *= wider
        for k in range(per_thread):
            if first + k < width:
                still = sites[first + k, i]
                y[order[i], first + k] = still + moved[k] / total if total > zero else still

    return step


@cache
def far(dtype, d):
    """Return the kernel that moves the marked points of a gaussian: a block for each point, with all data."""
    per_thread, weigh = d or NARROW, weight(dtype, GAUSSIAN)
    sums, zero, largest = per_thread + 1, dtype(0), dtype(np.finfo(str(dtype)).max)

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
        moved = cuda.local.array(per_thread, dtype)
        n, end, width = sites.shape[1], unsigned(data_sites.shape[1]), d or sites.shape[0]
        runs, thread = (width + per_thread - 1) // per_thread, cuda.threadIdx.x
        # Marked points are often adjacent. A block takes marks that are far apart, so that the work spreads over many blocks.
        job = cuda.blockIdx.x + thread * cuda.gridDim.x
        left[thread] = rest[job] if job < n * runs else 0
        cuda.syncthreads()  # until all threads of the block have read a mark
        for other in range(THREADS):
            if not left[other]:
                continue
            job = cuda.blockIdx.x + other * cuda.gridDim.x
            i, first = job // runs, job % runs * per_thread
            nearest = largest
            j = unsigned(thread)
            while j < end:
                nearest = min(nearest, squared_distance(sites, i, data_sites, j, scale))
                j += unsigned(THREADS)
            closest[thread] = nearest
            cuda.syncthreads()  # until all threads have stored their nearest
            for part in range(THREADS):
                nearest = min(nearest, closest[part])
            total = zero
            for k in range(per_thread):
                moved[k] = zero
            j = unsigned(thread)
            while j < end:
                w = weigh(squared_distance(sites, i, data_sites, j, scale) - nearest)
                if w > zero:
                    total += w
                    for k in range(per_thread):
                        if first + k < width:
                            moved[k] += w * (data_sites[first + k, j] - sites[first + k, i])
                j += unsigned(THREADS)
            parts[thread, per_thread] = total
            for k in range(per_thread):
                parts[thread, k] = moved[k]
            cuda.syncthreads()  # until all threads have stored their sums
            for k in range(thread, min(per_thread, width - first), THREADS):
                total, shift = zero, zero
                for part in range(THREADS):
                    total += parts[part, per_thread]
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
    limits={"weights": (None,)},
)
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not y.numel():
        return y
    (n, d), dtype, kind = x.shape, DTYPES[x.dtype], KERNELS.index(kernel)
    low, high = torch.aminmax(data, dim=0)
    axes = torch.argsort(low.double() - high.double(), stable=True)[:AXES]  # the widest
    points = sort(x, axes, bandwidth, *cutoff_of(dtype, kind))
    others = points if data is x else sort(data, axes, bandwidth, *cutoff_of(dtype, kind))
    (keys, order, sites), (data_keys, _, data_sites) = points, others
    narrow = d if d <= NARROW else 0
    threads = n * ceildiv(d, narrow or NARROW)
    rest = torch.empty(threads, dtype=torch.uint8, device=x.device)
    scale, blocks = scalar(scale_of(kind, bandwidth), x), ceildiv(threads, THREADS)
    launch(near(dtype, kind, narrow), blocks, THREADS, keys, order, sites, data_keys, data_sites, scale, y, rest)
    if kind == GAUSSIAN:
        launch(far(dtype, narrow), blocks, THREADS, order, sites, data_sites, scale, y, rest)
    return y
