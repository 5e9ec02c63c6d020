"""Arrays from a person's files: .npy, .npz, a table, or a picture."""

from __future__ import annotations

import gzip
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernels._inputs import pictures, tables
from kernels._inputs.columns import positions

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
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty; {FORMATS}")
    try:
        arrays = _arrays(path, columns, lambda line: tell(f"{path.name}: {line}"))
    except (ValueError, EOFError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error) as error:
        hint = "" if _plain(path).suffix.lower() in tables.SUFFIXES else f" ({FORMATS})"
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}{hint}") from error
    if not arrays:
        raise ValueError(f"{path} holds no array; {FORMATS}")
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path} holds {name} with dtype {array.dtype}; expected real numbers")
        if not array.size:
            raise ValueError(f"{path} holds {name} with shape {array.shape}; expected at least one entry")
    return arrays


def _plain(path: Path) -> Path:
    """Return the file's name without .gz: points.csv.gz is a .csv whose stem is points."""
    return Path(path.name[:-3] if path.suffix.lower() == ".gz" else path.name)


def _arrays(path: Path, columns: str, tell: Callable[[str], None]) -> dict[str, np.ndarray[Any, Any]]:
    suffix = _plain(path).suffix.lower()
    if suffix in tables.SUFFIXES:
        return {_plain(path).stem: tables.read(path, columns, tell)}
    names: list[str] = []
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
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
    return array[..., positions(columns, names or [""] * array.shape[-1])]
