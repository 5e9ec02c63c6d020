"""What is measured of pairwise_distance."""

import numpy as np

from works import Work, normal

METRICS = ("euclidean", "sqeuclidean", "cityblock", "chebyshev")

points = normal("n d", "m d")


def distances(n, m, d, metric="euclidean", **more):
    """Return all distances of some points from others as a work."""
    heading = "{metric}, {dtype}, {n:,} x {m:,} points, d = {d}"
    return Work("pairwise_distance", points, {"n": n, "m": m, "d": d}, heading, {"metric": metric}, **more)


EXACT = ("SciPy", "torch.cdist, differences")
WORKS = [
    *[
        distances(5_000, 5_000, d, ours=("numba", "expansion"), peers=(*EXACT, "torch.cdist, product", "scikit-learn"))
        for d in (2, 3, 16, 128)
    ],
    *[distances(5_000, 5_000, 16, metric, ours=("numba",), peers=("SciPy",)) for metric in METRICS[1:]],
    distances(5_000, 5_000, 16, dtype="float64", ours=("numba",), peers=EXACT),
    distances(1_500, 1_500, 2, ours=("loop", "broadcast", "numba"), peers=EXACT),
]
ON_DEVICE = [distances(20_000, 20_000, d) for d in (2, 16, 128)]


def crossing_tiles(stand_in):
    """Yield points whose numbers are no multiples of a tile's, in more coordinates than a tile has, and some far too small."""
    rng = np.random.default_rng(0)
    for n, m, d in [(1, 1, 1), (9, 17, 5)] if stand_in else [(1, 1, 1), (70, 130, 19)]:
        x, y = points(rng, n=n, m=m, d=d)
        for metric in METRICS:
            yield (x, y), {"metric": metric}
        yield (x * 1e-30, y * 1e-30), {}
