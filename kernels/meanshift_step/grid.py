"""meanshift_step on a sorted grid: only pairs within a cutoff are computed, so that a step costs n log n plus those pairs.

Points are sorted by their cells (`_cells`). For each group of neighbouring points, the data within the cutoff are a few
contiguous runs (`_grid`). A compact kernel's cutoff is its bandwidth. A gaussian has none: each point proves, from its own sum
of weights, that what it left out cannot matter (`_cutoff`).

References
----------
Yang, Duraiswami, Gumerov and Davis 2003, Improved fast Gauss transform and efficient kernel density estimation, also leave out
sources beyond a cutoff radius, which is the same for all points.
"""

import numpy as np

from kernels.meanshift_step._cutoff import AXES, ROWS_PER_CUTOFF, cutoff_for
from kernels.meanshift_step._grid import MAX_UNROLLED, step
from kernels.meanshift_step._weights import with_weight
from registry import register

FEW_PAIRS = 2**20  # about as many as all pairs that are summed in the time that the grid takes for no pairs at all


@register("meanshift_step", "numba_grid", requires=("numba",), layout="C", precision="truncated", rank=55)
def meanshift_step(x, bandwidth, data, kernel, weights=None):
    return step(x, bandwidth, *with_weight(data, weights), kernel)


def unsuited(x, bandwidth, data, kernel, weights=None):
    """Return in a line why summing all pairs is likely to take less time for this call, or None; a sample decides."""
    (n, d), m = x.shape, len(data)
    if n * m <= FEW_PAIRS or not d:
        return f"{n * m:,} pairs in {d} dimensions are too few to pay for sorting"
    cutoff = (cutoff_for(1, np.finfo(x.dtype).eps / 2) * (1 + 1 / ROWS_PER_CUTOFF) if kernel == "gaussian" else 2) * bandwidth
    some, others = x[:: -(-n // 32)], data[:: -(-m // 256)]
    widest = np.argsort(-np.ptp(others, axis=0), kind="stable")[:AXES]
    gaps = np.abs(some[:, None, widest].astype(float) - others[:, widest])
    fraction = (gaps <= cutoff).all(axis=-1).mean()
    if (
        FEW_PAIRS + fraction * n * m * (2 if d <= MAX_UNROLLED else 4) < n * m
    ):  # a pair costs twice as much as without cells, or more
        return None
    where = "" if d <= AXES else f" of the {AXES} of {d} dimensions that it sorts by"
    return f"a point shares its cells{where} with about {fraction:.0%} of the data: sorting saves too little"
