"""Arrays from a person's files: .npy, .npz, a table, or a picture."""

from __future__ import annotations

import gzip
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernels._inputs import pictures, tables
from kernels._inputs.columns import column_indices

FORMATS = "expected .npy, .npz, a table (.csv, .tsv or .txt, also with .gz; .parquet) or a picture"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def read(path: Path, columns: str = "", tell: Callable[[str], None] = _say) -> dict[str, np.ndarray[Any, Any]]:
    """Return a file's arrays of numbers by name; a file that holds one calls it by its own stem.

    Parameters
    ----------
    path
        The file.
    columns
        Which columns of its one array to take, such as "height,3-5": names, or positions from 1. All of them if empty.
    tell
        What is called with a line about each thing in the file that is left out or understood in one of several ways.

    Raises
    ------
    ValueError
        With one line that says what is wrong with the file, and what would do.
    OSError
        If it cannot be opened.
    """
    with _refusing(path):
        arrays = _arrays(path, columns, _named(path, tell))
    if not arrays:
        raise ValueError(f"{path} holds no array; {FORMATS}")
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path} holds {name} with dtype {array.dtype}; expected real numbers")
        if not array.size:
            raise ValueError(f"{path} holds {name} with shape {array.shape}; expected at least one entry")
    return arrays


class Points(NamedTuple):
    """Points from a file: the rows that have a number in each column."""

    numbers: np.ndarray[Any, Any]  # (points, coordinates)
    names: list[str]  # of the coordinates; where the file has none, their positions from 1
    weights: np.ndarray[Any, Any] | None  # of the points, from a column of its own
    kept: np.ndarray[Any, Any]  # whether each row of the file is a point


def points(path: Path, columns: str = "", weights: str = "", tell: Callable[[str], None] = _say) -> Points:
    """Return the rows of a table or of an .npy file with one or two axes as points.

    Parameters
    ----------
    path, columns, tell
        As in `read`; `columns` are the coordinates.
    weights
        The column that weighs the points; it is no coordinate then. No weights if empty.

    Raises
    ------
    ValueError, OSError
        As `read` does.
    """
    if _plain(path).suffix.lower() in tables.SUFFIXES:
        with _refusing(path):
            table = tables.read(path, ",".join(filter(None, (columns, weights))) if columns else "", _named(path, tell))
    elif path.suffix.lower() == ".npy":
        table = _rows(path, read(path)[path.stem], _named(path, tell))
    else:
        raise ValueError(f"{path} is no table: expected .csv, .tsv, .txt (also with .gz), .parquet or .npy")
    with _refusing(path):
        if not np.isfinite(table.numbers).all():
            row, column = np.argwhere(~np.isfinite(table.numbers))[0]
            name = table.names[table.indices[column]] or table.indices[column] + 1
            raise ValueError(f"column {name} holds {table.numbers[row, column]} in row {np.flatnonzero(table.kept)[row] + 1}")
        return _points(table, columns, weights)


def _rows(path: Path, array: np.ndarray[Any, Any], tell: Callable[[str], None]) -> tables.Table:
    """Return an array as a table without headings, less the rows that hold NaN."""
    if array.ndim > 2 or not array.ndim:
        raise ValueError(f"{path} holds an array of shape {array.shape}; expected rows and columns")
    numbers = array.reshape(len(array), -1)
    kept = ~np.isnan(numbers).any(axis=1)
    if not kept.any():
        raise ValueError(f"{path} holds NaN in each of its {len(kept)} rows; choose columns that have values")
    if not kept.all():
        tell(f"{(~kept).sum()} of {len(kept)} rows left out: a value is missing")
    width = numbers.shape[1]
    return tables.Table(numbers[kept], list(range(width)), [""] * width, kept)


def _points(table: tables.Table, columns: str, weights: str) -> Points:
    """Part the coordinates from the weights."""
    weighing = column_indices(weights, table.names) if weights else []
    if len(weighing) > 1 or not set(weighing) <= set(table.indices):
        raise ValueError(f"weights are one column of numbers, and {weights!r} is not")
    chosen = column_indices(columns, table.names) if columns else table.indices
    indices = [i for i in chosen if i not in weighing]
    if not indices:
        raise ValueError("no column is left for the coordinates")
    w = table.numbers[:, table.indices.index(weighing[0])] if weighing else None
    if w is not None and (w.min() < 0 or not w.any()):
        raise ValueError(f"weights are not negative, and some are above 0; the least in column {weights} is {w.min():g}")
    numbers = table.numbers[:, [table.indices.index(i) for i in indices]]
    names = [table.names[i] or str(i + 1) for i in indices]
    unlike = [name if names.count(name) == 1 else f"{name} ({i + 1})" for name, i in zip(names, indices, strict=True)]
    return Points(numbers, unlike, w, table.kept)


def photo(path: Path, tell: Callable[[str], None] = _say) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """Return a picture's colours, upright, and its opacity where it has one.

    Parameters
    ----------
    path
        A picture, or an .npy file of one: (rows, columns), or (rows, columns, channels) with 1 to 4 channels.
    tell
        As in `read`.

    Returns
    -------
    colours : ndarray, shape (rows, columns, 1 or 3)
        Grey or sRGB: uint8, uint16, or floats from 0 to 1.
    opacity : ndarray, shape (rows, columns), or None
        In the dtype of the colours.

    Raises
    ------
    ValueError, OSError
        As `read` does.
    """
    if path.suffix.lower() == ".npy":
        pixels = read(path, tell=tell)[path.stem]
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] > 4):
            raise ValueError(f"{path} holds an array of shape {pixels.shape}; expected rows, columns and 1 to 4 channels")
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    else:
        with _refusing(path, "expected a picture, or .npy"):
            pixels = pictures.read(path, _named(path, tell), as_colours=True)[0]
    colours = 3 if pixels.shape[2] > 2 else 1
    return pixels[..., :colours], pixels[..., colours] if pixels.shape[2] > colours else None


def _named(path: Path, tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: tell(f"{path.name}: {line}")


@contextmanager
def _refusing(path: Path, formats: str = FORMATS) -> Iterator[None]:
    """Say of a file that is empty, or that what is done here cannot read, which file it is."""
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty; {formats}")
    try:
        yield
    except (ValueError, EOFError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error) as error:
        hint = "" if _plain(path).suffix.lower() in tables.SUFFIXES else f" ({formats})"
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}{hint}") from error


def _plain(path: Path) -> Path:
    """Return the file's name without .gz: points.csv.gz is a .csv whose stem is points."""
    return Path(path.name[:-3] if path.suffix.lower() == ".gz" else path.name)


def _arrays(path: Path, columns: str, tell: Callable[[str], None]) -> dict[str, np.ndarray[Any, Any]]:
    suffix = _plain(path).suffix.lower()
    if suffix in tables.SUFFIXES:
        return {_plain(path).stem: tables.read(path, columns, tell).numbers}
    names: list[str] = []
    if suffix == ".npz":
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # NumPy leaves a damaged one open
            arrays = dict(archive)
    elif suffix == ".npy":
        arrays = {path.stem: np.load(path, allow_pickle=False)}
    else:
        array, names = pictures.read(path, tell)
        arrays = {path.stem: array}
    return {name: _chosen(array, names, columns, len(arrays)) for name, array in arrays.items()} if columns else arrays


def _chosen(array: np.ndarray[Any, Any], names: list[str], columns: str, count: int) -> np.ndarray[Any, Any]:
    if count > 1 or array.ndim < 2:
        held = f"{count} arrays" if count > 1 else f"an array of shape {array.shape}"
        raise ValueError(f"columns {columns} are of one array with two axes or more, and it holds {held}")
    return array[..., column_indices(columns, names or [""] * array.shape[-1])]
