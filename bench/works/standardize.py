"""What is measured of standardize."""

import numpy as np

from works import Work, normal

matrix = normal("n d")


def columns(rng, n, d):
    """Draw the same with each column contiguous, as a layer's features are after a transposition."""
    return (rng.standard_normal((d, n)).T,)


def of(n, d, draw=matrix, **more):
    """Return a standardized matrix as a work."""
    heading = "standardize {n:,} x {d:,}, {dtype}" + (", columns contiguous" if draw is columns else "")
    return Work("standardize", draw, {"n": n, "d": d}, heading, **more)


PEERS = ("torch var_mean", "scikit-learn", "SciPy")
SHAPES = ((50_000, 784), (1_000_000, 3), (5_000, 784))  # all images of the lecture, colours of pixels, a tenth of the images
WORKS = [
    *[of(*shape, ours=("numba", "broadcast"), peers=PEERS) for shape in SHAPES],
    of(50_000, 784, columns, ours=("numba",), peers=("torch layer_norm", "torch var_mean")),
    of(50_000, 784, dtype="float64", ours=("numba",), peers=PEERS),
]
ON_DEVICE = [
    *[of(*shape, dtype=dtype) for dtype in ("float32", "float16", "bfloat16") for shape in ((50_000, 784), (1_000_000, 3))],
    of(5_000, 784, naive=("loop", 20)),
]


def ceiling(record):
    """Name a copy, which moves as much."""
    return "copy"


def crossing_tiles(stand_in):
    """Yield matrices that fill no tile, with a constant column, in one part of the rows and in several."""
    rng = np.random.default_rng(0)
    for n, d in [(5, 3), (37, 9)] if stand_in else [(70, 31), (1100, 33), (40_000, 3)]:
        (x,) = matrix(rng, n=n, d=d)
        x[:, 1] = 0.1
        yield (x,), {}
