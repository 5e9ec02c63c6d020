"""What is measured of frobenius_norm."""

import numpy as np

from works import Work, normal

matrix = normal("m n")


def huge(rng, m, n):
    """Draw entries whose squares overflow, and whose norm does not."""
    return (1e200 * rng.standard_normal((m, n)),)


def of(m, n, draw=matrix, **more):
    """Return a norm as a work."""
    heading = "frobenius_norm of {m:,} x {n:,}, {dtype}" + (", entries of 1e200" if draw is huge else "")
    return Work("frobenius_norm", draw, {"m": m, "n": n}, heading, **more)


PEERS = ("torch linalg.norm", "NumPy", "SciPy")
WORKS = [
    *[of(*shape, ours=("numba", "broadcast"), peers=PEERS) for shape in ((2048, 2048), (1000, 1000))],
    of(2048, 2048, dtype="float64", ours=("numba",), peers=PEERS),
    of(1000, 1000, huge, dtype="float64", ours=("numba", "broadcast"), peers=PEERS),
]
ON_DEVICE = [
    *[of(50_000, 784, dtype=dtype) for dtype in ("float32", "float16", "bfloat16")],
    of(1000, 1000, naive=("loop", 20)),
]


def ceiling(record):
    """Name a copy, which moves twice as much."""
    return "copy"


def crossing_tiles(stand_in):
    """Yield matrices of fewer entries than a block has threads, and of more than all blocks have; large ones, and small."""
    rng = np.random.default_rng(0)
    for m, n in [(1, 1), (7, 5)] if stand_in else [(1, 1), (33, 31), (1000, 301)]:
        (x,) = matrix(rng, m=m, n=n)
        for scale in (1.0, 1e-30, 1e30):
            yield (scale * x,), {}
