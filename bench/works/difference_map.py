"""What is measured of difference_map."""

import numpy as np

from works import Work

LATENTS, PICTURES = (10, 4, 64, 64), (8, 3, 512, 512)  # what DiffEdit compares; a batch of pictures


def stacks(rng, s, c, h, w):
    """Draw two stacks of normal entries, which differ most in the middle."""
    b = rng.standard_normal((s, c, h, w))
    rows, columns = (np.linspace(-2, 2, extent) for extent in (h, w))
    return b + np.exp(-(rows[:, None] ** 2) - columns**2) * rng.standard_normal((s, c, h, w)), b


def compared(s, c, h, w, **more):
    """Return a difference map as a work."""
    heading = "difference map of {s}x{c}x{h}x{w}, {dtype}"
    return Work("difference_map", stacks, {"s": s, "c": c, "h": h, "w": w}, heading, **more)


OURS, PEERS = ("broadcast", "torch", "numba"), ("NumPy", "torch's own")
WORKS = [
    compared(*LATENTS, ours=("loop", *OURS), peers=PEERS),
    compared(*PICTURES, ours=OURS, peers=PEERS),
    compared(*PICTURES, dtype="float64", ours=OURS, peers=PEERS),
]
ON_DEVICE = [compared(*shape, dtype=dtype) for shape in (LATENTS, PICTURES) for dtype in ("float32", "float16")]


def crossing_tiles(stand_in):
    """Yield stacks whose places are no multiple of a block's, and one whose are."""
    rng = np.random.default_rng(0)
    for s, c, h, w in [(1, 1, 1, 1), (2, 3, 3, 7)] if stand_in else [(1, 1, 1, 1), (2, 3, 19, 23), (10, 4, 64, 64)]:
        yield stacks(rng, s, c, h, w), {}
