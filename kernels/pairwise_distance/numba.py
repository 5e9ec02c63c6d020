"""pairwise_distance compiled: tiles of a few points of x by three vectors of points of y, whose sums stay in registers.

For each coordinate, three vectors of y are loaded from a panel, in which y lies coordinate by coordinate, and the coordinate
of each of the tile's points is subtracted from them. A metric says what is kept of a difference; one pass over the coordinates
serves all.

Euclidean distances need squares that neither overflow nor vanish. Points are multiplied by one power of two for all, where that
rounds none, makes no square overflow, and brings the least difference that there may be, the last digit of the smallest
coordinate, to where squares are normal numbers: float32 has room for coordinates from 1 to 10^26. Points that differ in size
by more are taken pair by pair, in units of the pair's largest difference.

References
----------
Goto and van de Geijn 2008, Anatomy of high-performance matrix multiplication.
"""

import functools
import math
import platform

import numpy as np

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES
from kernels._compute.simd_points import origin
from kernels._compute.simd_tiles import add_distances, add_squares, largest_distances, load_tile, scaled_roots, store_tile
from kernels._compute.threads import parallel_for
from registry import register

TILE_ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # of 32 registers, or 16
TILE_VECTORS = 3
LIKE_TILE, LIKE_ROW = (0,) * (TILE_ROWS * TILE_VECTORS), (0,) * TILE_VECTORS  # tuples whose lengths tell the compiler the shapes
BLOCK_BYTES = 2**19  # of panels that stay in cache while all points of x pass
GRAIN = 2_000_000  # coordinates of pairs that are worth waking a thread


def metric(keep):
    """Return the compiled pass of a metric, which keeps of each coordinate's differences what `keep` adds to a tile."""

    @jit
    def fill(x, panels, d, block, roots, back, distances, start, stop):
        n, m = distances.shape
        width = TILE_VECTORS * (BYTES // x.itemsize)
        count = (m + width - 1) // width
        edge = np.empty((TILE_ROWS, width), x.dtype)
        for first in range(0, count, block):
            for i in range(start * TILE_ROWS, stop * TILE_ROWS, TILE_ROWS):
                for panel in range(first, min(first + block, count)):
                    tile = origin(x, LIKE_TILE)
                    for k in range(d):
                        tile = keep(tile, x, i, k, load_tile(panels, LIKE_ROW, LIKE_ROW, panel * d + k, 0))
                    if roots:
                        tile = scaled_roots(tile, back)
                    j = panel * width
                    if i + TILE_ROWS <= n and j + width <= m:
                        store_tile(distances, LIKE_ROW, i, j, tile)
                        continue
                    store_tile(edge, LIKE_ROW, 0, 0, tile)
                    for r in range(min(TILE_ROWS, n - i)):
                        for s in range(min(width, m - j)):
                            distances[i + r, j + s] = edge[r, s]

    return fill


squares = metric(add_squares)
PASSES = {
    "euclidean": squares,
    "sqeuclidean": squares,
    "cityblock": metric(add_distances),
    "chebyshev": metric(largest_distances),
}


@jit(error_model="numpy")
def pair_by_pair(x, y, distances, start, stop):
    """Compute euclidean distances in units of each pair's largest difference, which no square can be too large or small for."""
    for i in range(start, stop):
        for j in range(len(y)):
            largest = total = x.dtype.type(0)
            for k in range(x.shape[1]):
                largest = max(largest, abs(x[i, k] - y[j, k]))
            unit = largest if 0 < largest < np.inf else x.dtype.type(1)
            for k in range(x.shape[1]):
                apart = (x[i, k] - y[j, k]) / unit
                total += apart * apart
            distances[i, j] = unit * math.sqrt(total)


def exponent_for_squares(x, y):
    """Return the exponent of the power of two by which points are scaled, or None where none would do; 0 wherever it does."""
    limits, d = np.finfo(x.dtype), x.shape[1]
    with np.errstate(invalid="ignore"):
        sizes = [np.abs(points) for points in ((x,) if y is x else (x, y))]
        least = min(float(np.where(size > 0, size, np.inf).min()) for size in sizes)
        most = max(float(np.where(size < np.inf, size, 0).max()) for size in sizes)
    if not most:
        return 0
    lowest, highest = math.frexp(least)[1] - 1, math.frexp(most)[1]
    bottom, top = limits.minexp // 2 + limits.nmant + 1, limits.maxexp // 2 - 2 - (d.bit_length() + 1) // 2
    exponents = (0, min(top - highest, -limits.minexp))
    return next((each for each in exponents if lowest + each >= bottom and highest + each <= top), None)


@register("pairwise_distance", "numba", requires=("numba",), layout="C", rank=70)
def pairwise_distance(x, y, metric):
    (n, d), m = x.shape, len(y)
    if not (n and m and d):
        return np.zeros((n, m), x.dtype)
    distances = np.empty((n, m), x.dtype)
    exponent = exponent_for_squares(x, y) if metric == "euclidean" else 0
    if exponent is None:
        parallel_for(functools.partial(pair_by_pair, x, y, distances), n, 1 + GRAIN // (8 * m * d))
        return distances
    scale, back = (x.dtype.type(math.ldexp(1, power)) for power in (exponent, -exponent))
    rows, width = -(-n // TILE_ROWS), TILE_VECTORS * BYTES // x.itemsize
    points, panels = np.zeros((rows * TILE_ROWS, d), x.dtype), np.zeros((-(-m // width) * width, d), x.dtype)
    np.multiply(x, scale, out=points[:n])
    np.multiply(y, scale, out=panels[:m])
    panels = np.ascontiguousarray(panels.reshape(-1, width, d).transpose(0, 2, 1)).reshape(-1, width)
    block = 1 + BLOCK_BYTES // (width * d * x.itemsize)
    work = functools.partial(PASSES[metric], points, panels, d, block, metric == "euclidean", back, distances)
    parallel_for(work, rows, 1 + GRAIN // (TILE_ROWS * m * d))
    return distances
