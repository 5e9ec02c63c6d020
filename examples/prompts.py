"""Interpolate two prompts, guide a prediction, and find what changes: three operations on made-up latents, with a picture.

python examples/prompts.py [PICTURE]

A diffusion model would make the predictions. Here a prompt is a direction in the space of latents: a disc on the left, a disc on
the right, or, between the two, some of each. A prediction is that direction, and noise.
"""

import sys

import numpy as np

from registry import get

CHANNELS, SIDE, SAMPLES = 4, 64, 10


def latent(rng, column):
    """Return a latent with a disc round a column, in all channels, and length 1."""
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    disc = np.hypot(y, x + SIDE / 2 - column) < SIDE / 6
    entries = disc * rng.uniform(0.5, 1, (CHANNELS, 1, 1)) + 0.02 * rng.standard_normal((CHANNELS, SIDE, SIDE))
    return (entries / np.linalg.norm(entries)).astype(np.float32)


def predictions(rng, prompt):
    """Return what a model might predict for a prompt, some times over."""
    noise = rng.standard_normal((SAMPLES, CHANNELS, SIDE, SIDE)) / (2 * SIDE)
    return (prompt + noise).astype(np.float32)


def main():
    slerp, guidance, difference_map = (get(operation) for operation in ("slerp", "guidance", "difference_map"))
    rng = np.random.default_rng(42)
    left, right = latent(rng, SIDE / 4), latent(rng, 3 * SIDE / 4)
    unconditional = predictions(rng, np.float32(0))
    maps = []
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    for t in shares:
        prompt = slerp(left.ravel(), right.ravel(), t).reshape(left.shape)
        conditional = predictions(rng, prompt)
        rows = (each.reshape(SAMPLES, -1) for each in (unconditional, conditional))
        guided = guidance(*rows, 7.5, rescale=0.7).reshape(conditional.shape)
        maps.append(difference_map(guided, unconditional))
        where = np.argwhere(maps[-1] > 0.5)[:, 1].mean()
        print(f"t = {t}: length {np.linalg.norm(prompt):.3f}, what changes is round column {where:.0f}")
    if sys.argv[1:]:
        from matplotlib.figure import Figure

        figure = Figure((10, 4.4), layout="constrained")
        for t, change, (above, below) in zip(shares, maps, figure.subplots(2, len(shares)).T, strict=True):
            above.imshow(change, cmap="viridis")
            below.imshow(change > 0.5, cmap="gray")
            above.set_title(f"t = {t}")
            for axes in (above, below):
                axes.set_axis_off()
        figure.suptitle("What a prompt between two others changes, and the mask of it")
        figure.savefig(sys.argv[1])
        print(f"the picture is in {sys.argv[1]}")


if __name__ == "__main__":
    main()
