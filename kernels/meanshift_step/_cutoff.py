"""Where a gaussian may be cut off, and how fine a grid's cells are then: what the grids on the CPU and on CUDA share.

Let c be the cutoff in bandwidths, and W the sum of the weights of the data within it. Each datum beyond the cutoff weighs at most
exp(-c^2/2) and lies at least c bandwidths off. Since (r + s) exp(-r^2/2) decreases for r >= 1, where s is the point's own
shift in bandwidths, leaving out k data changes a coordinate of the step by at most

    k exp(-c^2/2) (c + s) h / W                                                                                            (1)

The class "truncated" allows m u h, for m data and the unit roundoff u. A cutoff is proven for a point where (1) with k = m is at
most half of that; rounding may take the other half. The proof needs W and s, which the point knows once it has summed.
"""

import math

AXES = 3  # a grid divides at most so many of the axes
COLUMNS_PER_CUTOFF, ROWS_PER_CUTOFF = 16, 3  # cells; a compact kernel has one row for its cutoff
MARGIN = (
    1 + 2.0**-10
)  # cells are wider by this factor, which is far above the rounding of a cell's number (2^-53 of at most 2^40)
WIDER = 1.5  # a gaussian's second cutoff, relative to the first: enough for a point that has data within the first


def cutoff_for(total, u):
    """Return the least cutoff in bandwidths, to 1/64, that (1) proves for weights that sum to `total` and a shift of h."""
    cutoff = 1.0
    while math.exp(-cutoff * cutoff / 2) * (cutoff + 1) > u / 2 * total:
        cutoff += 1 / 64
    return cutoff
