"""Steps on a sorted grid of cells: `grid` takes all points by them, and `fast_gauss` those that its expansions cannot serve.

A group of neighbouring points, at most as many as a vector has lanes, is processed together. The data within the cutoff of a
group are one contiguous run in each of a few rows. Groups are processed in ascending order, so the ends of their runs ascend
too.

A compact kernel's cutoff is its bandwidth. A gaussian's cutoff must be proven for each point (see `_cutoff`). A point that cannot
prove the first cutoff gets a wider one, and in the end all data.
"""

import functools
import math

import numpy as np
from numba import njit
from numba.extending import overload

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, fma, splat, where_above
from kernels._compute.simd_points import (
    add_weighted,
    load_points,
    minus,
    origin,
    splat_point,
    squared_length,
    store_points,
)
from kernels._compute.threads import parallel_for
from kernels.meanshift_step import KERNELS
from kernels.meanshift_step._cells import Grid, groups_of, select
from kernels.meanshift_step._compiled import GAUSSIAN, constants, gaussian, padded, times_mass, weight
from kernels.meanshift_step._cutoff import COLUMNS_PER_CUTOFF, MARGIN, ROWS_PER_CUTOFF, WIDER, cutoff_for

INVERSE_BANDWIDTH, LARGEST = 3, 4  # of the constants `c`, after those of the weight function
MAX_UNROLLED = 6  # dimensions whose sums stay in registers
SAMPLE = 64  # groups
GRAIN = 64  # groups that are worth waking a thread
SORT_PAIRS, SORT_PAIRS_PER_DATUM = 2**19, 64  # the time that sorting takes, in pairs: some for each call, and more for each datum


@njit
def least(a, finite):
    return where_above(finite, a, a) + (finite - where_above(finite, a, finite))


@njit
def difference(data_sites, j, sites, i, k):
    """Return coordinate k of the vectors from the points i, i + 1, ... to datum j."""
    return splat_point(data_sites, (0,), k * data_sites.shape[1] + j)[0] - load_points(sites, (0,), k * sites.shape[1] + i)[0]


@njit
def squared_distance(sites, i, data_sites, j, scale):
    """Return the squared distances in bandwidths of datum j from the points i, i + 1, ..."""
    q2 = scale - scale
    for k in range(len(sites)):
        q = difference(data_sites, j, sites, i, k) * scale
        q2 = fma(q, q, q2)
    return q2


def accumulate(kernel, sites, i, data_sites, masses, lows, highs, nearest, c, like, sums):
    """Sum, for a vector of points from i on, w (data - point) and w over the data of some runs.

    Shapes: sites (d, n + width); data_sites (d, m + width); masses (1, m), or (1, 0) where each is 1; lows and highs (runs,),
    the ends of each run; sums (d + 1, width), of which the first d rows get the weighted differences, and the last one the
    weights.
    """


@overload(accumulate)
def _(kernel, sites, i, data_sites, masses, lows, highs, nearest, c, like, sums):
    def in_few_dimensions(kernel, sites, i, data_sites, masses, lows, highs, nearest, c, like, sums):
        here, nowhere, scale = load_points(sites, like, i), origin(sites, like), splat(c[INVERSE_BANDWIDTH])
        one, total, moved = splat(sites.dtype.type(1)), splat(sites.dtype.type(0)), nowhere
        for o in range(len(lows)):
            for j in range(lows[o], highs[o]):
                step = minus(splat_point(data_sites, like, j), here)
                # Scaled before they are squared, so that no square leaves the range of the dtype.
                w = times_mass(weight(kernel, squared_length(add_weighted(nowhere, scale, step)), one, c), masses, j)
                total = total + w
                moved = add_weighted(moved, w, step)
        store_points(sums, 0, moved)
        store_points(sums, len(like) * sums.shape[1], (total,))

    def in_any_dimensions(kernel, sites, i, data_sites, masses, lows, highs, nearest, c, like, sums):
        d, scale, one, total = len(sites), splat(c[INVERSE_BANDWIDTH]), splat(sites.dtype.type(1)), splat(sites.dtype.type(0))
        sums[:] = 0
        for o in range(len(lows)):
            for j in range(lows[o], highs[o]):
                q2 = squared_distance(sites, i, data_sites, j, scale)
                w = weight(kernel, q2, one, c) if nearest is None else gaussian(least(q2, splat(c[LARGEST])) - nearest, c)
                w = times_mass(w, masses, j)
                total = total + w
                for k in range(d):
                    moved = load_points(sums, (0,), k * sums.shape[1])[0]
                    store_points(sums, k * sums.shape[1], (fma(w, difference(data_sites, j, sites, i, k), moved),))
        store_points(sums, d * sums.shape[1], (total,))

    return in_few_dimensions if len(like) else in_any_dimensions


@njit
def first_from(keys, key, j):
    """Return the first index from j on whose key is not below a key: the steps double, and then halve."""
    m, step = len(keys), 1
    while j + step <= m and keys[j + step - 1] < key:
        j += step
        step *= 2
    while step:
        if j + step <= m and keys[j + step - 1] < key:
            j += step
        step //= 2
    return j


@jit
def sweep(groups, points, data, masses, rows, spans, columns, width, c, kernel, proof, like, y, totals, first, last):
    """Move the points of groups first to last; `totals` gets the sum of each point's weights, or -1 where (1) does not hold.

    Shapes: groups (groups + 1,), where each begins; masses (1, m), of the data in their order, or (1, 0) where each is 1; rows
    and spans (runs,), what `Grid.within` returned; y (n, d); totals (n,).
    """
    keys, order, sites = points
    data_keys, _, data_sites = data
    d, m = len(sites), len(data_keys)
    cutoff, tail, h, u = proof
    lows = np.zeros(len(rows), np.int64)
    highs = np.zeros(len(rows), np.int64)
    sums = np.empty((d + 1, width), sites.dtype)
    for g in range(first, last):
        begin, end = groups[g], groups[g + 1]
        row = keys[begin] // columns
        left, right = keys[begin] - row * columns, keys[end - 1] - row * columns
        kept = 0
        for o in range(len(rows)):
            base = (row + rows[o]) * columns
            lows[o] = first_from(data_keys, base + max(0, left - spans[o]), lows[o])
            highs[o] = first_from(data_keys, base + min(columns - 1, right + spans[o]) + 1, max(lows[o], highs[o]))
            kept += highs[o] - lows[o]
        accumulate(kernel, sites, begin, data_sites, masses, lows, highs, None, c, like, sums)
        for i in range(begin, end):
            total, farthest = sums[d, i - begin], 0.0
            for k in range(d):
                shift = sums[k, i - begin] / total if total > 0 else sites.dtype.type(0)
                farthest = max(farthest, abs(shift))
                y[order[i], k] = sites[k, i] + shift
            proven = tail * (cutoff + farthest / h) <= u / 2 * total or (kept == m and total >= u)
            totals[i] = total if kernel != GAUSSIAN or proven else -1


@jit
def sum_all(order, sites, data_sites, masses, m, width, c, y, first, last):
    """Move vectors first to last of points by a gaussian among all m data, with weights relative to the nearest datum's."""
    d, n, scale = len(sites), len(order), splat(c[INVERSE_BANDWIDTH])
    lows, highs = np.array([0]), np.array([m])
    sums = np.empty((d + 1, width), sites.dtype)
    for begin in range(first * width, min(n, last * width), width):
        nearest = splat(c[LARGEST])
        for j in range(m):
            nearest = least(squared_distance(sites, begin, data_sites, j, scale), nearest)
        accumulate(GAUSSIAN, sites, begin, data_sites, masses, lows, highs, nearest, c, (), sums)
        for i in range(begin, min(n, begin + width)):
            for k in range(d):
                y[order[i], k] = sites[k, i] + sums[k, i - begin] / sums[d, i - begin]


def weight_constants(code, bandwidth, real):
    """Return the constants `c` of the compiled functions."""
    return (*constants(code, 1.0, real, lifted=False), real(1 / bandwidth), np.finfo(real).max)


def leads(x, data):
    """Return whether x is the first rows of data, or all of them; both are C-contiguous and have as many columns."""
    return len(x) <= len(data) and x.ctypes.data == data.ctypes.data


def step(x, bandwidth, data, v, kernel):
    """Return x, shape (n, d), moved towards data, shape (m, d), of the relative weights v; all C-contiguous and of one dtype."""
    if not (x.size and len(data)):
        return x.copy()
    code, u, width = KERNELS.index(kernel), np.finfo(x.dtype).eps / 2, BYTES // x.dtype.itemsize
    base, rows, slack = (cutoff_for(1, u), ROWS_PER_CUTOFF, WIDER) if code == GAUSSIAN else (1.0, 1, 1.0)
    leading = leads(x, data)
    grid = Grid((data,) if leading else (x, data), base * bandwidth * MARGIN, rows, slack)
    others = grid.sort(data, width)
    points = others
    if not leading:
        points = grid.sort(x, width)
    elif len(x) < len(data):
        points = select(others, np.flatnonzero(others.order < len(x)), width)
    masses = padded(None if v is None else v[others.order], 1, x.dtype)
    y, totals = np.empty(x.shape, x.dtype), np.empty(len(x), x.dtype)
    like = (0,) * x.shape[1] if x.shape[1] <= MAX_UNROLLED else ()
    c = weight_constants(code, bandwidth, x.dtype.type)

    def sweeping(points, groups, cutoff):
        proof = cutoff, math.exp(-cutoff * cutoff / 2), bandwidth, u
        fixed = *grid.within(cutoff / base), grid.columns, width, c, code, proof, like, y, totals
        return functools.partial(sweep, groups, tuple(points), tuple(others), masses, *fixed)

    groups = groups_of(points.keys, grid.columns, width, COLUMNS_PER_CUTOFF)
    cutoffs = [base]
    if code == GAUSSIAN:
        cutoffs.append(WIDER * base)
        if len(groups) > SAMPLE**2:  # where most points have near data besides themselves, most prove a shorter cutoff
            sample = range(0, len(groups) - 1, len(groups) // SAMPLE)
            work = sweeping(points, groups, base)
            for g in sample:
                work(g, g + 1)
            weights = np.concatenate([totals[groups[g] : groups[g + 1]] for g in sample])
            cutoffs.insert(0, cutoff_for(max(1, np.quantile(weights, 1 / SAMPLE)), u))
    for cutoff in cutoffs:
        parallel_for(sweeping(points, groups, cutoff), len(groups) - 1, GRAIN)
        unproven = np.flatnonzero(totals[: len(points.order)] < 0)
        if not len(unproven):
            return y
        points = select(points, unproven, width)
        groups = groups_of(points.keys, grid.columns, width, COLUMNS_PER_CUTOFF)
    work = functools.partial(sum_all, points.order, points.sites, others.sites, masses, len(data), width, c, y)
    parallel_for(work, -(-len(points.order) // width))
    return y


def gaussian_step(x, bandwidth, data, v):
    """Return x, shape (n, d), moved by a gaussian; few points go through all data, where sorting would take more time."""
    if len(x) * len(data) > SORT_PAIRS + SORT_PAIRS_PER_DATUM * len(data):
        return step(x, bandwidth, data, v, "gaussian")
    width, y = BYTES // x.dtype.itemsize, np.empty_like(x)
    sites = np.zeros((x.shape[1], len(x) + width), x.dtype)
    sites[:, : len(x)] = x.T
    c = weight_constants(GAUSSIAN, bandwidth, x.dtype.type)
    data_sites, masses = data.T.copy(order="C"), padded(v, 1, x.dtype)
    work = functools.partial(sum_all, np.arange(len(x)), sites, data_sites, masses, len(data), width, c, y)
    parallel_for(work, -(-len(x) // width))
    return y
