"""meanshift_step on a sorted grid: only pairs within a cutoff are computed, so that a step costs n log n plus those pairs.

Points are sorted by their cells (`_cells`). For each group of neighbouring points, the data within the cutoff are a few
contiguous runs (`_grid`). A compact kernel's cutoff is its bandwidth. A gaussian has none: each point proves, from its own sum
of weights, that what it left out cannot matter (`_cutoff`).

References
----------
Yang, Duraiswami, Gumerov and Davis 2003, Improved fast Gauss transform and efficient kernel density estimation, also leave out
sources beyond a cutoff radius, which is the same for all points.
"""

from kernels.meanshift_step._grid import step
from registry import register


@register("meanshift_step", "numba_grid", requires=("numba",), layout="C", precision="truncated", rank=55)
def meanshift_step(x, bandwidth, data, kernel):
    return step(x, bandwidth, data, kernel)
