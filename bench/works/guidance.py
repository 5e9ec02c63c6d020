"""What is measured of guidance."""

import numpy as np

from works import Work, normal

PROMPT, LATENT = (77, 768), 4 * 64 * 64  # a prompt's tokens and their dimensions, and the entries of a picture's latent

predictions = normal("rows n", "rows n")


def guided(rows, n, rescale, **more):
    """Return a guidance of so many rows as a work."""
    heading = "guidance of {rows:,} x {n:,}, scale = {scale}, rescale = {rescale}, {dtype}"
    return Work("guidance", predictions, {"rows": rows, "n": n}, heading, {"scale": 7.5, "rescale": rescale}, **more)


WORKS = [
    guided(*shape, 0.7, ours=("numba",), peers=("torch", "broadcast", "torch, as published"))
    for shape in (PROMPT, *((batch, LATENT) for batch in (8, 64)))
] + [guided(64, LATENT, 0.0, ours=("numba",), peers=("torch", "broadcast"))]
ON_DEVICE = [guided(batch, LATENT, rescale) for batch in (8, 64) for rescale in (0.0, 0.7)]


def ceiling(record):
    """Name a copy, which moves two thirds as much."""
    return "copy"


def crossing_tiles(stand_in):
    """Yield rows that are shorter than a block, and longer; a stand-in's blocks are smaller."""
    rng = np.random.default_rng(0)
    for rows, n in [(3, 1), (2, 7)] if stand_in else [(7, 1), (5, 31), (3, 300)]:
        yield predictions(rng, rows=rows, n=n), {"scale": 7.5, "rescale": 0.7}
