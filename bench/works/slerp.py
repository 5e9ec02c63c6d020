"""What is measured of slerp."""

import numpy as np

from works import Work, normal

PROMPT, LATENT = (77, 768), 4 * 64 * 64  # a prompt's tokens and their dimensions, and the entries of a picture's latent

ends = normal("rows n", "rows n")


def between(rows, n, **more):
    """Return an interpolation between so many rows as a work."""
    return Work("slerp", ends, {"rows": rows, "n": n}, "slerp of {rows:,} x {n:,}, t = {t}, {dtype}", {"t": 0.25}, **more)


WORKS = [
    between(*shape, ours=("numba",), peers=("torch", "broadcast", "SciPy, and lengths", "torch, as published"))
    for shape in (PROMPT, *((batch, LATENT) for batch in (8, 64)))
]
ON_DEVICE = [between(batch, LATENT) for batch in (8, 64)]


def ceiling(record):
    """Name a copy, which moves two thirds as much."""
    return "copy"


def crossing_tiles(stand_in):
    """Yield rows that are shorter than a block, and longer; a stand-in's blocks are smaller."""
    rng = np.random.default_rng(0)
    for rows, n in [(3, 1), (2, 7)] if stand_in else [(7, 1), (5, 31), (3, 300)]:
        yield ends(rng, rows=rows, n=n), {"t": 0.25}
