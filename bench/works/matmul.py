"""What is measured of matmul."""

import numpy as np

from works import Work, normal

LECTURE = 50_000, 784, 10  # all images of the lecture, by weights for ten digits

matrices = normal("m k", "k n")


def product(m, k, n, **more):
    """Return a product as a work."""
    return Work("matmul", matrices, {"m": m, "k": k, "n": n}, "matmul {m}x{k} @ {k}x{n}, {dtype}", **more)


WORKS = [
    product(*shape, ours=("numba",), peers=("torch", "numpy"))
    for shape in (
        *[(side, side, side) for side in (128, 256, 512, 1024, 1536, 2048)],
        LECTURE,
        (10, 784, 50_000),
        (784, 50_000, 10),
        (4096, 128, 4096),
        (128, 4096, 128),
        (4096, 4096, 16),
    )
]
ON_DEVICE = [
    product(*LECTURE, naive=("loop", 20)),
    *[
        product(side, side, side, dtype=dtype)
        for dtype in ("float32", "float16", "bfloat16")
        for side in (1024, 2048, 4096, 8192)
    ],
]


def ceiling(record):
    """Name torch's own product of the same format."""
    return f"matmul {'tf32' if 'tf32' in record['precision'] else record['dtype']}"


def crossing_tiles(stand_in):
    """Yield products whose extents are no multiples of a tile's, and one whose are; a stand-in's tiles are smaller."""
    rng = np.random.default_rng(0)
    for m, k, n in [(1, 1, 1), (17, 9, 18)] if stand_in else [(1, 1, 1), (150, 70, 270), (256, 64, 256)]:
        yield matrices(rng, m=m, k=k, n=n), {}
