"""Write what variants of meanshift_step are estimated to take, as long as nobody has measured them.

    python bench/estimates.py [DATE]

The instructions for a pair of points were counted where the tests run compiled kernels without a GPU (tests/cuda/ptx.py, with 128
points and 4096 data). The rate is that of a device that starts one instruction in each lane in each cycle, and the time of a
launch is what launches commonly take; only ratios matter. torch's own step is counted by the bytes that its passes move. For a
processor, the operation's own counts are of instructions.
"""

import datetime
import itertools
import sys

from kernels._costs import known, table
from kernels.meanshift_step._costs import COUNTS

LANES, CYCLES, BANDWIDTH = 108 * 128, 1.41e9, 1.55e12  # of an A100: in all, a second, bytes a second
LAUNCH = 5e-6  # seconds
LAUNCHES = {"numba_cuda": 1, "triton": 1, "numba_cuda_grid": 40}  # sorting is many small ones
CORES, VECTOR, INSTRUCTIONS_A_SECOND, CALL = 2, 8, 5e9, 2.5e-6  # of a processor: float32 lanes; of each core; a call of NumPy
CALLS = {"numba": 4, "numba_grid": 60, "fast_gauss": 60}
# Instructions for a pair, by dimensions and kernel.
INSTRUCTIONS = {
    "numba_cuda": {(2, "gaussian"): 14.08, (2, "flat"): 14.07, (8, "gaussian"): 45.81, (8, "flat"): 45.78},
    "triton": {(2, "gaussian"): 14.74, (2, "flat"): 14.84, (8, "gaussian"): 48.00, (8, "flat"): 48.20},
    "numba_cuda_grid": {(2, "gaussian"): 18.73, (2, "flat"): 16.51, (8, "gaussian"): 62.41, (8, "flat"): 57.75},
}
POINTS = (2**4, 2**10, 2**20)
NEAR = (2.0**-10, 1.0)  # the share of the data that a grid finds near a point


def entries(date):
    """Yield an entry for each variant and call."""
    for n, d, kernel, near in itertools.product(POINTS, (2, 8), ("gaussian", "flat"), NEAR):
        pairs = n * n
        seconds = {"torch_cuda": LAUNCH * 16 * max(1, n // 1024) + pairs * 4 * (3 * d + 8) / BANDWIDTH}
        for variant, counted in INSTRUCTIONS.items():
            looked_at = pairs * (near if variant == "numba_cuda_grid" else 1)
            seconds[variant] = LAUNCHES[variant] * LAUNCH + looked_at * counted[d, kernel] / (LANES * CYCLES)
        facts = {"near": near} | ({"cells": near} if kernel == "gaussian" and d <= 3 else {})
        extents, parameters = {"n": n, "m": n, "d": d, "batch": 1}, {"kernel": kernel}
        for variant in CALLS if kernel == "gaussian" and d <= 3 else ("numba", "numba_grid"):
            instructions = COUNTS[variant](extents, parameters, facts)
            seconds[variant] = CALLS[variant] * CALL + instructions / (CORES * VECTOR * INSTRUCTIONS_A_SECOND)
        for variant, taken in seconds.items():
            yield table.Entry("meanshift_step", variant, "float32", extents, parameters, facts, {}, taken, 0.0, date)


def main():
    date = sys.argv[1] if sys.argv[1:] else datetime.date.today().isoformat()
    basis = "counted instructions and bytes, at the rates of data sheets (bench/estimates.py); measured on no device"
    known.ESTIMATED.write_text(table.written({"basis": basis}, entries(date)))


if __name__ == "__main__":
    main()
