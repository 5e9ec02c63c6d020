"""Pictures, as they are held: an axis of channels last, no channel dropped and no depth reduced."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import registry

REDUCED = ("JPEG2000", "AVIF")  # formats that may hold more than 8 bits, of which Pillow says nothing


def read(path: Path, tell: Callable[[str], None], as_colours: bool = False) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return a picture's pixels, (rows, columns, channels), in the dtype of the file, and the names of the channels.

    `as_colours`, the channels are grey or red, green and blue, each with or without opacity, and the picture is upright.
    """
    if registry.missing("PIL"):
        raise ValueError("a picture needs the package pillow (pip install pillow)")
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            _refuse_if_reduced(picture)
            if picture.format in REDUCED:
                tell("Pillow reads this format with 8 bits for each channel, whatever the file holds")
            if (frames := getattr(picture, "n_frames", 1)) > 1:
                tell(f"the first of its {frames} pictures is taken")
            return _pixels(_coloured(picture) if as_colours else picture)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a picture, or a damaged one: {error}") from error


def _coloured(picture: Any) -> Any:
    """Return a picture turned as its camera was held, in a mode of grey or of red, green and blue."""
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":
        low, high = picture.getextrema()
        limit = 1 if picture.mode == "F" else 65535
        if not 0 <= low <= high <= limit:
            raise ValueError(f"its pixels are from {low} to {high}, and those of a picture in grey are from 0 to {limit}")
        return picture.convert("I;16") if picture.mode == "I" else picture
    return picture if picture.mode in ("L", "LA", "RGB", "RGBA", "P", "PA") else picture.convert("RGB")


def _pixels(picture: Any) -> tuple[np.ndarray[Any, Any], list[str]]:
    if "transparency" in picture.info:  # a colour, or entries of a palette, that the file declares transparent
        picture = picture.convert("LA" if picture.mode in ("1", "L") else "RGBA")
    elif picture.mode in ("P", "PA"):  # a pixel is the index of a colour in a palette
        picture = picture.convert("RGBA" if picture.mode == "PA" else picture.palette.mode)
    pixels = np.asarray(picture)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return pixels.reshape(*pixels.shape[:2], -1), list(picture.getbands())


def _refuse_if_reduced(picture: Any) -> None:
    """Refuse a picture of which Pillow, or what `_pixels` makes of it, would keep the upper 8 bits alone."""
    deep = picture.mode[0] in "IF"  # one channel of 16 or 32 bits, which is kept
    for tile in getattr(picture, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        held = f"{tile[0]} {arguments[0]}"  # the decoder, and how the file holds a pixel: raw RGB;16B
        largest = arguments[1] if tile[0] in ("ppm", "ppm_plain") else 0
        if not deep and (re.search("SGI16|;16", held) or largest > 255):
            raise ValueError(
                f"it holds more than 8 bits for each of its channels ({', '.join(picture.getbands())}), of which Pillow reads 8; "
                "save its pixels as .npy"
            )
    if deep and "transparency" in picture.info:
        raise ValueError("it holds more than 8 bits a pixel and a transparent colour; save its pixels as .npy")
