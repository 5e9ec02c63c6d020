"""A photograph filtered by mean shift, beside OpenCV's pyrMeanShiftFiltering: time, and how far each is from the exact picture.

    pip install -c constraints.txt -e '.[all,peers]'
    python bench/photo.py [PHOTO] [--output bench/results/photo.json]

Both work in sRGB and in places, with flat weights. OpenCV's window is a square of places, 2 sp + 1 wide, times a ball of colours
of radius sr; ours is one ball in places and colours together. They are matched by the variances of a flat weight: sp^2 / 3 along
an axis of places and sr^2 / 5 along one of colours there, and h^2 / 7 along each of the five axes here.

The exact picture is OpenCV's window itself, in float64, moved until it rests: without the pyramid, the rounding to whole places
and levels, and the end after five steps. Distances are of two pixels' colours, in levels of 255.
"""

import json
import time
from importlib.resources import files
from pathlib import Path

import click
import cv2
import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from kernels import _measure
from kernels.segment import segment

SP, SR = 8, 16.0
ROUNDS = 3
MOST_STEPS = 300


@numba.njit(parallel=True)
def window_modes(picture, sp, sr, most):
    """Return the colour at which OpenCV's window comes to rest, from each pixel."""
    rows, columns = picture.shape[:2]
    found = np.empty(picture.shape)
    for row in numba.prange(rows):
        for column in range(columns):
            y, x = float(row), float(column)
            r, g, b = picture[row, column]
            for _ in range(most):
                total = np.zeros(6)
                for i in range(max(0, int(np.ceil(y - sp))), min(rows, int(np.floor(y + sp)) + 1)):
                    for j in range(max(0, int(np.ceil(x - sp))), min(columns, int(np.floor(x + sp)) + 1)):
                        p, q, s = picture[i, j, 0], picture[i, j, 1], picture[i, j, 2]
                        if (p - r) ** 2 + (q - g) ** 2 + (s - b) ** 2 <= sr**2:
                            total[0] += i
                            total[1] += j
                            total[2] += p
                            total[3] += q
                            total[4] += s
                            total[5] += 1
                total /= total[5]
                moved = abs(total[0] - y) + abs(total[1] - x) + abs(total[2] - r) + abs(total[3] - g) + abs(total[4] - b)
                y, x, r, g, b = total[:5]
                if moved < 1e-9:
                    break
            found[row, column] = r, g, b
    return found


def opencv(picture, levels):
    return cv2.pyrMeanShiftFiltering(picture, SP, SR, maxLevel=levels).astype(float)


def ours(picture, **options):
    return 255 * segment(picture, **options).filtered


def matched(picture):
    """Return our picture with weights that spread as OpenCV's."""
    return ours(picture, space="rgb+xy", spatial_bandwidth=SP * (7 / 3) ** 0.5, range_bandwidth=SR * (7 / 5) ** 0.5)


METHODS = {
    "ours, lab (colours alone)": lambda picture: ours(picture, space="lab"),
    "ours, rgb+xy": matched,
    "OpenCV, maxLevel=0": lambda picture: opencv(picture, 0),
    "OpenCV, maxLevel=1 (default)": lambda picture: opencv(picture, 1),
}
FILTERS = tuple(METHODS)[1:]  # those of places and colours, which are compared with the exact picture


def distances(painted, exact):
    """Return the mean and the 95th percentile of the distances of two pictures' pixels."""
    away = np.sqrt(((painted - exact) ** 2).sum(axis=2))
    return {"mean": float(away.mean()), "95th percentile": float(np.percentile(away, 95))}


@click.command()
@click.argument("photo", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--output", default=Path(__file__).parent / "results" / "photo.json", type=click.Path(path_type=Path))
@click.option("--rounds", default=ROUNDS, help="Interleaved samples of each method's time.")
def main(photo, output, rounds):
    """Time each method in turn, compare its picture with the exact one, and print a table."""
    picture = cv2.imread(str(photo or files("sklearn.datasets") / "images" / "china.jpg"))
    if picture is None:
        raise click.UsageError(f"{photo}: not a picture that OpenCV reads")
    picture = np.ascontiguousarray(picture[..., ::-1])
    busy = _measure.busy()
    exact = window_modes(picture.astype(float), SP, SR, MOST_STEPS)
    for method in METHODS.values():
        method(picture[:64, :64].copy())  # compiles
    seconds, painted = {name: [] for name in METHODS}, {}
    for _ in range(rounds):
        for name, method in METHODS.items():
            since = time.perf_counter()
            painted[name] = method(picture)
            seconds[name].append(time.perf_counter() - since)
    records = [
        {"name": name, "seconds": float(np.median(taken)), "samples": taken}
        | ({"from exact": distances(painted[name], exact)} if name in FILTERS else {})
        | ({"from ours": distances(painted[name], painted[FILTERS[0]])} if name in FILTERS[1:] else {})
        for name, taken in seconds.items()
    ]
    records.append({"name": "the photograph itself", "from exact": distances(picture, exact)})
    work = {"photo": Path(photo).name if photo else "china.jpg", "shape": picture.shape, "sp": SP, "sr": SR}
    kept = {"environment": _measure.environment() | {"busy": busy, "opencv": cv2.__version__}, "work": work, "records": records}
    output.write_text(json.dumps(kept, indent=1) + "\n")
    shown = Table(title=f"{work['photo']}, {picture.shape[0]} x {picture.shape[1]}, sp = {SP}, sr = {SR:g}", title_justify="left")
    for heading in ("", "median", *(f"from {what}: mean, 95%" for what in ("exact", "ours"))):
        shown.add_column(heading, justify="right" if heading else "left")
    for r in records:
        away = [", ".join(f"{value:.3g}" for value in r.get(name, {}).values()) for name in ("from exact", "from ours")]
        shown.add_row(r["name"], _measure.duration(r["seconds"]) if "seconds" in r else "", *away)
    Console().print(shown)


if __name__ == "__main__":
    main()
