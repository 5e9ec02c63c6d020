"""meanshift_step of a gaussian, linear in n at any density: a fast Gauss transform with Chebyshev expansions.

Each cell's data are expanded, their expansions are translated to the cells of the points, and evaluated there (`_fast_gauss`).
Points too far from all data for the bounds of the expansions' errors take the step of `_grid`, as do calls with too many cells
for their points.

Polynomials through Chebyshev points need fewer terms than Hermite and Taylor series, whose error is 2^p times as large: p = 11
serves where those take 15. Everything is float64, so that its rounding is far below float32's. float64 points are not taken:
the rounding of the moments, up to thousands of units for each datum, would fail the bounds wherever the weights sum to less than
thousands.

References
----------
Greengard and Strain 1991, The fast Gauss transform. Raykar 2006, The fast Gauss transform with all the proofs. Yang, Duraiswami,
Gumerov and Davis 2003, Improved fast Gauss transform and efficient kernel density estimation: one Taylor series for each cluster
of sources in place of moments and local expansions, for more dimensions.
"""

import numpy as np

from kernels.meanshift_step._fast_gauss import best_lattice, ends_of, first_of, most_cells, neighbours, sample, sort, transform
from kernels.meanshift_step._grid import gaussian_step, leads
from kernels.meanshift_step._weights import with_weight
from registry import register


def expanded(x, data, v, cells):
    """Return x moved, and in which rows that is proven, or None if there are too many cells."""
    sources = sort(data, cells)
    targets = sources if data is x else first_of(len(x), sources) if leads(x, data) else sort(x, cells)
    most = most_cells(len(x) + len(data), cells)
    if max(len(targets.keys), len(sources.keys)) > most:
        return None
    sweeps = neighbours(sources.keys, targets.keys, cells.strides, cells.cutoff)
    if max(len(keys) for keys, _ in sweeps) > most:
        return None
    return transform(x, data, v, targets, sources, sweeps, cells)


@register(
    "meanshift_step",
    "fast_gauss",
    requires=("numba",),
    dtypes=("float32",),
    precision="truncated",
    layout="C",
    rank=58,
    limits={"kernel": ("gaussian",), "dimensions": 3},
)
@np.errstate(invalid="ignore")  # where points are not finite, nor is their width
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    data, v = with_weight(data, weights)
    if not (x.size and len(data)):
        return x.copy()
    low, high = ends_of((x,) if data is x else (x, data))
    if not (high - low).max():
        return x.copy()
    mass = float(len(data) if v is None else v.sum(dtype=float))
    cells = best_lattice(low, high, bandwidth, mass, sample(data), len(x) + len(data))
    moved = None if cells is None else expanded(x, data, v, cells)
    if moved is None:
        return gaussian_step(x, bandwidth, data, v)
    y, served = moved
    left = np.flatnonzero(~served)
    if len(left):
        y[left] = gaussian_step(x[left], bandwidth, data, v)
    return y
