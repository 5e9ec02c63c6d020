"""Arrays from a person's files: .npy, .npz, .csv, or a picture."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = "expected .npy, .npz, .csv or a picture"


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return a file's arrays of numbers by name; a file that holds one calls it by its own stem.

    Raises
    ------
    ValueError
        With one line that says what is wrong with the file, and what would do.
    OSError
        If it cannot be opened.
    """
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty; {FORMATS}")
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv}
    try:
        arrays = readers.get(path.suffix.lower(), _picture)(path)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]} ({FORMATS})") from error
    if not arrays:
        raise ValueError(f"{path} holds no array; {FORMATS}")
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path} holds {name} with dtype {array.dtype}; expected real numbers")
        if not array.size:
            raise ValueError(f"{path} holds {name} with shape {array.shape}; expected at least one entry")
    return arrays


def _npy(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.stem: np.load(path, allow_pickle=False)}


def _npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _csv(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        rows = [(lines.line_num, row) for row in lines if row]
    if rows and not _is_number(rows[0][1][0]):
        del rows[0]  # a heading
    if not rows:
        raise ValueError("it has no rows of numbers")
    first, width = rows[0][0], len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise ValueError(f"line {line} has {len(row)} columns, line {first} has {width}")
        for entry in row:
            if not _is_number(entry):
                raise ValueError(f"line {line}: {entry!r} is not a number; commas separate columns")
    return {path.stem: np.array([[float(entry) for entry in row] for _, row in rows])}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _picture(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ValueError("a picture needs the package pillow (pip install pillow)") from None
    try:
        with Image.open(path) as picture:
            return {path.stem: np.asarray(picture.convert("RGB"))}
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"not a picture, or a damaged one: {error}") from error
