"""What is measured of outer."""

import numpy as np

from works import Work, normal

vectors = normal("m", "n")


def labels(rng, m, n):
    """Draw labels and list the classes: compared for equality, they are one row of 0 and 1 for each label."""
    return rng.integers(0, n, m), np.arange(n)


def pairs(m, n, function="multiply", draw=vectors, **more):
    """Return a function of all pairs as a work."""
    heading = "outer {function}, {m:,} by {n:,}, {dtype}"
    return Work("outer", draw, {"m": m, "n": n}, heading, {"function": function}, **more)


OURS, PEERS = ("broadcast", "numba"), ("NumPy", "torch's own")
WORKS = [
    *[pairs(5_000, 5_000, function, ours=OURS, peers=PEERS) for function in ("multiply", "subtract", "less")],
    pairs(5_000, 5_000, dtype="float64", ours=OURS, peers=PEERS),
    pairs(50_000, 10, "equal", labels, ours=OURS, peers=PEERS),  # the lecture's digits
    pairs(100, 100, ours=OURS, peers=PEERS),
]
ON_DEVICE = [
    *[pairs(side, side, function) for function in ("multiply", "less") for side in (5_000, 20_000)],
    pairs(50_000, 10, "equal", labels),
]


def crossing_tiles(stand_in):
    """Yield calls whose extents are no multiples of a block's, and one whose are."""
    rng = np.random.default_rng(0)
    for m, n in [(1, 1), (3, 17)] if stand_in else [(1, 1), (37, 300), (64, 512)]:
        for function in ("subtract", "less"):
            yield vectors(rng, m=m, n=n), {"function": function}
