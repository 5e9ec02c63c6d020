"""What the cost of a step hangs on beside its shape: how many data are near a point, and how many cells hold data.

A look at a sample says so. It takes about as many distances as there are points, where each variant takes hundreds for a point or
more: all data, or what sorting takes.

Work is counted in instructions for a lane of a vector: a pair takes two for each coordinate of its distance, two for each of what
it adds to the sums, and some for its weight. What is no loop over pairs is counted as the instructions for pairs that are
done in the same time.
"""

import functools

import numpy as np

from kernels import _arrays
from kernels.meanshift_step._chebyshev import COEFFICIENTS_PER_POINT, EDGES, MAX_COEFFICIENTS, expansion
from kernels.meanshift_step._cutoff import AXES, ROWS_PER_CUTOFF, cutoff_for

FEW_PAIRS = 2**20  # all pairs are summed in less time than sorting and a look take
ROWS, DATA = 32, 256  # of the sample, unless there are more than 256 times as many
WEIGHT = {"gaussian": 11, "triangular": 6}  # of a pair; of the other kernels,
LEAST_WEIGHT = 3
SORTING, GATHERED = 3072, 1024  # for one point: its cell and its place in the order; each coordinate, from all over the memory
RUN = 1024  # to find both ends of a run of data that a group of points goes through
GROUP = 8  # points, where they lie close enough
WIDE = 6  # coordinates whose sums stay in registers: beyond, a pair of the grid takes twice as long
# So few data of so many coordinates or more, or so few points of more coordinates: their pairs take less time than laying out.
FEW, COORDINATES = 4, 8
FEWEST = 700  # pairs that take less time one by one than laid out, whatever the coordinates
LAID_OUT = 384  # for one coordinate of a point, to be laid out in the order that vectors are read in,
NORMS = 40  # for products, what a point's norm and the like take, in coordinates laid out
TILED = 32  # for a pair that is kept in a tile in between
TERM = 32  # for one term of an expansion, in float64


def FACTS(extents, parameters):
    """Return the share of the data near a point and, where cells may be expanded, the cells that hold data, for each datum."""
    n, m, d = (extents[name] for name in "nmd")
    if n * m <= FEW_PAIRS or not d or n * m * cost_of_pair(d, parameters) <= _sorting(extents):
        return {}
    least = 1 / max(n, m)
    return {"near": (least, 1.0)} | ({"cells": (least, 1.0)} if parameters["kernel"] == "gaussian" and d <= 3 else {})


def look(x, bandwidth, *, data, kernel, **_):
    """Return the facts of a normalised call, from a sample of its points."""
    n, m, wide = len(x), len(data), kernel == "gaussian"
    rows, most = max(4, min(ROWS, n // 256)), max(DATA, m // 256)
    some, others = (
        np.ascontiguousarray(_arrays.to_numpy(points[:: -(-len(points) // size)])) for points, size in ((x, rows), (data, most))
    )
    reach = _reach(kernel, some.dtype.itemsize) * bandwidth
    near, once, twice, cells = _sampled()(some, -(-len(others) * rows // max(n, 64 * rows)), others, reach, bandwidth)
    least = 1 / max(n, m)
    facts = {"near": max(least, near)}
    if wide and x.shape[1] <= AXES:  # Chao 1984, estimating the number of classes in a population
        facts["cells"] = min(1.0, max(least, (cells + once * (once - 1) / (2 * (twice + 1))) / m))
    return facts


@functools.cache
def _reach(kernel, itemsize):
    """Return how far the cells of a grid reach that are looked into, in bandwidths."""
    return cutoff_for(1, 2.0**-24 if itemsize == 4 else 2.0**-53) * (1 + 1 / ROWS_PER_CUTOFF) if kernel == "gaussian" else 2.0


@functools.cache
def _sampled():
    """Return the compiled look at a sample: only variants that are compiled cost what it says."""
    from kernels._compute.jit import jit

    @jit
    def sampled(some, step, others, reach, edge):
        """Return the share of each step-th of others within reach in the widest axes; and the cells of one, two, any of them."""
        d = others.shape[1]
        widths = np.zeros(d)
        for k in range(d):
            low = high = np.float64(others[0, k])
            for j in range(len(others)):
                low, high = min(low, others[j, k]), max(high, others[j, k])
            widths[k] = high - low
        axes = np.argsort(-widths)[: min(d, AXES)]
        close = looked = 0
        for i in range(len(some)):
            for j in range(0, len(others), step):
                within = True
                for k in axes:
                    within &= abs(np.float64(some[i, k]) - others[j, k]) <= reach
                close += within
                looked += 1
        keys = np.zeros(len(others), np.int64)
        if d <= AXES:
            for j in range(len(others)):
                for k in range(d):
                    keys[j] = keys[j] * 1000003 + np.int64(np.floor(others[j, k] / edge))
            keys.sort()
        once = twice = cells = run = 0
        for j in range(len(keys)):
            run += 1
            if j + 1 == len(keys) or keys[j + 1] != keys[j]:
                once, twice, cells, run = once + (run == 1), twice + (run == 2), cells + 1, 0
        return close / looked, once, twice, cells

    return sampled


def few(n, m, d):
    """Return whether pairs are so few that `numba` takes each by itself."""
    return n * m <= FEWEST or (m <= FEW and d >= COORDINATES) or (n <= FEW and d > COORDINATES)


def cost_of_pair(d, parameters):
    """Count what a pair takes."""
    return 4 * d + WEIGHT.get(parameters["kernel"], LEAST_WEIGHT)


def _points(extents):
    """Count points and data, those of a blurring step once: nothing but their numbers says that they are the same."""
    return extents["n"] if extents["n"] == extents["m"] else extents["n"] + extents["m"]


def _sorting(extents):
    """Count what it takes to sort all points."""
    return (SORTING + GATHERED * extents["d"]) * _points(extents)


def _pairs(extents, parameters, facts):
    """Count all pairs, and what laying out takes."""
    n, m, d = (extents[name] for name in "nmd")
    return LAID_OUT * _points(extents) * d * (not few(n, m, d)) + n * m * cost_of_pair(d, parameters)


def _products(extents, parameters, facts):
    """Count all pairs as products, which take one instruction for a coordinate where a difference takes two."""
    n, m, d = (extents[name] for name in "nmd")
    return LAID_OUT * _points(extents) * (d + NORMS) + n * m * (TILED + cost_of_pair(d / 2, parameters))


def _grid(extents, parameters, facts):
    """Count the pairs within the cutoff, what sorting takes, and the runs that each group of points goes through."""
    n, m, d = (extents[name] for name in "nmd")
    near = facts.get("near", 1.0)
    runs = (7 if parameters["kernel"] == "gaussian" else 3) ** (min(d, AXES) - 1)
    groups = n / min(GROUP, max(1.0, near * n / (4 * runs)))  # the look's box is about four cutoffs wide
    pairs = near * n * m * cost_of_pair(d if d <= WIDE else 2 * d, parameters)
    return _sorting(extents) + RUN * runs * groups + pairs


def _expanded(extents, parameters, facts):
    """Count the terms of all expansions, or what the grid takes where too many cells hold data."""
    n, m, d = (extents[name] for name in "nmd")
    if not 0 < d <= 3 or parameters["kernel"] != "gaussian":
        return _grid(extents, parameters, facts)
    taken = []
    for edge in EDGES:
        p, reach, *_ = expansion(2.0**edge, d)
        cells = max(1.0, facts.get("cells", 1.0) * m / 2 ** (edge * d))  # as if all that are joined held data
        if cells * p**d <= MAX_COEFFICIENTS + COEFFICIENTS_PER_POINT * (n + m):
            taken.append(TERM * (n * p**d + cells * d * reach * p ** (d + 1)))
    return _sorting(extents) + min(taken, default=_grid(extents, parameters, facts))


COUNTS = {
    "numba": _pairs,
    "tiles": _products,
    "attention": _products,
    "expansion": _products,
    "numba_grid": _grid,
    "numba_cuda_grid": _grid,
    "fast_gauss": _expanded,
}
