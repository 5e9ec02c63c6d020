"""Paint a photograph in few colours: each pixel's colour moves by mean shift to where the photograph's colours are dense.

python examples/photo.py [PHOTO] [OUTPUT]
"""

import sys
from importlib.resources import files

import numpy as np
from PIL import Image

from registry import get

photo = sys.argv[1] if sys.argv[1:] else files("sklearn.datasets") / "images" / "china.jpg"
output = sys.argv[2] if sys.argv[2:] else "painted.png"
step = get("meanshift_step")
with Image.open(photo) as picture:
    pixels = np.asarray(picture.convert("RGB").reduce(4), np.float32)  # a quarter as wide and as high
colours = pixels.reshape(-1, 3)
moved = colours
for i in range(5):
    last, moved = moved, step(moved, bandwidth=15, data=colours)
    print(f"step {i + 1}: the colours moved by {np.linalg.norm(moved - last, axis=1).mean():.3g} on average")
painted = np.round(moved).astype(np.uint8)
print(f"{len(np.unique(colours.astype(np.uint8), axis=0))} colours have become {len(np.unique(painted, axis=0))}: {output}")
Image.fromarray(painted.reshape(pixels.shape)).save(output)
