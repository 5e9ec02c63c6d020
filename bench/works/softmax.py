"""What is measured of softmax."""

import numpy as np

from works import Work


def scores(rng, rows, n):
    """Draw scores from the standard normal distribution, times 3."""
    return (3 * rng.standard_normal((rows, n)),)


def rows_of(rows, n, **more):
    """Return a softmax of so many rows as a work."""
    return Work("softmax", scores, {"rows": rows, "n": n}, "softmax of {rows:,} x {n:,}, {dtype}", **more)


SHAPES = ((50_000, 10), (1024, 1024), (4096, 4096), (64, 50_000))  # the lecture's images by digits, and what attention makes
WORKS = [
    *[rows_of(*shape, ours=("numba",), peers=("torch", "SciPy")) for shape in SHAPES],
    rows_of(1024, 1024, dtype="float64", ours=("numba",), peers=("torch", "SciPy")),
]
ON_DEVICE = [
    *[rows_of(*shape, dtype=dtype) for dtype in ("float32", "float16", "bfloat16") for shape in ((4096, 4096), (64, 50_000))],
    rows_of(50_000, 10, naive=("loop", 20)),
]


def ceiling(record):
    """Name a copy, which moves as much."""
    return "copy"


def crossing_tiles(stand_in):
    """Yield rows that fill no block, several for a program, and rows longer than a block; a stand-in's blocks are smaller."""
    rng = np.random.default_rng(0)
    for rows, n in [(5, 3), (2, 37)] if stand_in else [(70, 31), (9, 300), (3, 1000), (2, 9000)]:
        yield scores(rng, rows, n), {}
