"""`kernel-zoo segment`."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

import registry
from kernels._cli.outputs import OUTPUT, atomic_write, bars, require_writable
from kernels._cli.text import JSON, VARIANT, dumps, print_table, require

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
OPAQUE = (".jpg", ".jpeg", ".bmp")  # formats without opacity
JOINT = ("spatial", "min_region")  # options that only a space with places has
MOST_ROWS = 12  # of the regions that are printed
EDGE = (1, 1, 0)


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--space",
    default="lab",
    show_default=True,
    type=click.Choice(["rgb", "lab", "rgb+xy", "lab+xy"]),
    help="Where pixels walk: among colours, or (+xy) in colours and places at once.",
)
@click.option(
    "--range", "range_", type=float, help="The bandwidth of colours: 8 of 100 in lab, 20.4 of 255 in rgb, if not given."
)
@click.option("--spatial", type=float, help="The bandwidth of places, in pixels: 8 if not given; for +xy.")
@click.option("--min-region", type=click.IntRange(1), help="Smaller regions join a neighbour: 20 pixels if not given; for +xy.")
@click.option("--kernel", default="flat", show_default=True, help="gaussian, triangular, epanechnikov or flat.")
@click.option("--max-iter", default=300, show_default=True, type=click.IntRange(1), help="The most steps of a walk.")
@VARIANT
@click.option("--filtered", is_flag=True, help="Paint each pixel in the colour of its own mode, not of its region.")
@click.option("--boundaries", is_flag=True, help="Draw the regions' boundaries in yellow.")
@click.option("--output", required=True, type=OUTPUT, help=f"The picture to write: {', '.join(SUFFIXES)}.")
@click.option("--labels", type=OUTPUT, help="Where to write each pixel's region, from 0: .npy.")
@JSON
def segment(
    photo: Path,
    space: str,
    variant: str,
    filtered: bool,
    boundaries: bool,
    output: Path,
    labels: Path | None,
    as_json: bool,
    range_: float | None,
    **options: Any,
) -> None:
    """Paint PHOTO in few colours by mean shift: each pixel walks to a mode of the density, and takes the colour found there.

    In --space rgb and lab a region is a cluster of colours, wherever they are; with +xy it is a connected part of the picture.
    PHOTO is a picture of any format that Pillow reads, or .npy. The picture that is written has 8 bits for each channel, and
    PHOTO's opacity, if it has one.
    """
    require_writable("--output", output, SUFFIXES, photo)
    if labels is not None:
        require_writable("--labels", labels, (".npy",), photo)
    joint = space.endswith("+xy")
    given = {name: value for name, value in options.items() if value is not None}
    if not joint and (idle := [f"--{name.replace('_', '-')}" for name in JOINT if name in given]):
        raise click.UsageError(f"{' and '.join(idle)}: --space {space} has no places; {space}+xy does")
    for option, value in {"--range": range_, "--spatial": options["spatial"]}.items():
        if value is not None and not 0 < value < float("inf"):
            raise click.UsageError(f"{option} {value}: expected a finite number above 0")
    require("segment", "sklearn", "skimage", "PIL")
    registry.get("meanshift_step", variant)  # says what is wrong with its name before the picture is read
    if "spatial" in given:
        given["spatial_bandwidth"] = given.pop("spatial")
    import numpy as np

    from kernels import _inputs
    from kernels.segment import segment as segmented

    with bars() as progress:
        reading = progress.add_task("reading", total=None)
        colours, opacity = _inputs.photo(photo, functools.partial(click.echo, err=True))
        if opacity is not None and output.suffix.lower() in OPAQUE:
            raise click.UsageError(f"--output {output}: {photo.name} has opacity, which {output.suffix} has not; .png does")
        progress.update(reading, total=1, completed=1)
        task = progress.add_task("walking", total=colours[..., 0].size)

        def walked(_: int, places: Any, moving: int) -> None:
            progress.update(task, completed=len(places) - moving, total=len(places))

        since = time.perf_counter()
        found = segmented(colours, space=space, range_bandwidth=range_, variant=variant, callback=walked, **given)
        seconds = time.perf_counter() - since
        painted = found.filtered if filtered else found.colours[found.labels]
        _write(painted, opacity, found.labels if boundaries else None, output)
        if labels is not None:
            with atomic_write(labels) as unfinished:
                np.save(unfinished, found.labels)
    _show(photo, found, f"{space}, {options['kernel']}", seconds, as_json)
    for path in filter(None, (output, labels)):
        click.echo(f"wrote {path}", err=True)


def _write(painted: Any, opacity: Any, regions: Any, output: Path) -> None:
    """Write the picture, whole or not at all."""
    import numpy as np
    from PIL import Image
    from skimage.segmentation import mark_boundaries
    from skimage.util import img_as_ubyte

    if regions is not None:
        painted = mark_boundaries(painted, regions, color=EDGE)
    channels = img_as_ubyte(painted)
    if opacity is not None:
        channels = np.dstack([channels, img_as_ubyte(opacity)])
    with atomic_write(output) as unfinished:
        Image.fromarray(channels).save(unfinished)


def _show(photo: Path, found: Any, how: str, seconds: float, as_json: bool) -> None:
    """Print what was found."""
    import numpy as np

    sizes = np.bincount(found.labels.ravel())
    order = np.argsort(-sizes, kind="stable")
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in np.round(found.colours * 255).astype(int)]
    if as_json:
        regions = [{"region": int(i), "pixels": int(sizes[i]), "colour": colours[i]} for i in order]
        about = {"photo": str(photo), "shape": list(found.labels.shape), "space": how.partition(",")[0]}
        numbers = {"range_bandwidth": found.range_bandwidth, "steps": found.n_iter, "seconds": seconds}
        click.echo(dumps(about | numbers | {"regions": regions}))
        return
    count = "1 region" if len(sizes) == 1 else f"{len(sizes):,} regions"
    walks = f"{how}, colours' bandwidth {found.range_bandwidth:.4g}; {found.n_iter} steps, {seconds:.2g} s"
    click.echo(f"{photo.name}: {count} of {sizes.sum():,} pixels ({walks})")
    shown = Table()
    for heading in ("region", "colour", "pixels", "of the picture"):
        shown.add_column(heading, justify="right")
    for i in order[:MOST_ROWS]:
        shown.add_row(str(i), colours[i], f"{sizes[i]:,}", f"{sizes[i] / sizes.sum():.1%}")
    print_table(shown)
    if len(sizes) > MOST_ROWS:
        click.echo(f"and {len(sizes) - MOST_ROWS:,} more regions; --json prints all")
