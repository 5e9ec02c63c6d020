"""Points from files that workers read in blocks: an .npy file, a Zarr array, or Parquet, one file or a folder of parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np

import registry
from kernels._inputs.columns import column_indices, leave_out, require_rows

SUFFIXES = (".npy", ".zarr", ".parquet")


class Blocks(NamedTuple):
    """Points in blocks: the rows that have a number in each column."""

    numbers: Any  # a dask array, (points, coordinates)
    names: list[str]  # of the coordinates; where the file has none, their positions from 1
    rows: Any  # a dask array of all rows of the file
    kept: list[int]  # how many rows of each of its blocks are points

    def for_each_row(self, of_points: Any) -> Iterator[np.ndarray[Any, Any]]:
        """Yield what a dask array has for the points, block by block of the file, and -1 for a row that is none."""
        ends = np.cumsum([0, *self.kept])
        for i, block in enumerate(self.rows.to_delayed()[:, 0]):
            values = of_points[ends[i] : ends[i + 1]].compute() if self.kept[i] else np.empty(0, of_points.dtype)
            if len(values) < self.rows.chunks[0][i]:
                there = dask.delayed(_there)(block).compute()
                values, some = np.full(len(there), -1, of_points.dtype), values
                values[there] = some
            yield values


def points(path: Path, columns: str, parts: int, tell: Callable[[str], None]) -> Blocks:
    """Return the rows of a file as points, of which only shapes and what is missing are known here.

    Parameters
    ----------
    path
        The file or folder, which workers find under the same name.
    columns
        Which of its columns are the coordinates, as in `kernels._inputs.read`; all columns of numbers if empty.
    parts
        How many blocks there are at least, where there are as many rows; no block is larger than dask's configuration says.
    tell
        What is called with a line about what is left out.

    Raises
    ------
    ValueError
        With one line that says what is wrong with the file, and what would do.
    """
    suffix, path = path.suffix.lower(), path.absolute()
    opened = {".npy": _npy, ".zarr": _zarr, ".parquet": _parquet}.get(suffix)
    if opened is None:
        raise ValueError(
            f"{path.name} is not read in blocks: expected {', '.join(SUFFIXES)}; without --dask other tables are read"
        )
    try:
        rows, names = opened(path, columns, parts, tell)
        return _without_missing(rows, names, tell)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path.name} cannot be read in blocks: {str(error).splitlines()[0]}") from error


def _without_missing(rows: Any, names: list[str], tell: Callable[[str], None]) -> Blocks:
    """Leave out rows that lack a value, and refuse infinite ones."""
    try:
        surveys = dask.compute(*(dask.delayed(_surveyed)(block) for block in rows.to_delayed()[:, 0]))
    except FileNotFoundError as error:
        raise ValueError(f"workers do not find it ({error}); put it where all of them have it under the same name") from error
    starts = np.cumsum([0, *rows.chunks[0]])
    for start, (_, infinite) in zip(starts, surveys, strict=False):
        for row, column, value in infinite:
            raise ValueError(f"column {names[column]} holds {value} in row {start + row + 1}")
    kept = [count for count, _ in surveys]
    require_rows(sum(kept), len(rows), tell)
    if sum(kept) == len(rows):
        return Blocks(rows, names, rows, kept)
    numbers = rows.map_blocks(_present, chunks=(tuple(kept), rows.chunks[1]), dtype=rows.dtype, meta=rows._meta)
    return Blocks(numbers, names, rows, kept)


def _in_blocks(read: Callable[[int, int], Any], count: int, width: int, dtype: Any, parts: int, stored: int = 1) -> Any:
    """Return a dask array of the rows that `read` returns from one to another, in blocks of whole ones as they are stored."""
    most = dask.utils.parse_bytes(dask.config.get("array.chunk-size")) // max(1, width * np.dtype(dtype).itemsize)
    height, meta = min(most, -(-count // parts)), np.empty((0, 0), dtype)
    height = max(1, height // stored) * stored
    ends = [*range(0, count, height), count]
    task = dask.delayed(read, pure=True)
    blocks = [da.from_delayed(task(a, b), (b - a, width), meta=meta) for a, b in pairwise(ends)]
    return da.concatenate(blocks)


def _chosen(shape: tuple[int, ...], dtype: Any, columns: str) -> list[int]:
    """Return which columns of an array without headings are taken."""
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds dtype {dtype}; expected real numbers")
    if len(shape) not in (1, 2) or not np.prod(shape):
        raise ValueError(f"it holds an array of shape {shape}; expected rows and columns")
    width = shape[1] if len(shape) > 1 else 1
    return column_indices(columns, [""] * width) if columns else list(range(width))


def _npy(path: Path, columns: str, parts: int, tell: Callable[[str], None]) -> tuple[Any, list[str]]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    indices = _chosen(array.shape, array.dtype, columns)
    read = functools.partial(_npy_rows, path, indices)
    return _in_blocks(read, len(array), len(indices), array.dtype.newbyteorder("="), parts), [str(index + 1) for index in indices]


def _npy_rows(path: Path, indices: list[int], start: int, stop: int) -> Any:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    rows = array.reshape(len(array), -1)[start:stop, indices]
    return np.array(rows, rows.dtype.newbyteorder("="))


def _zarr(path: Path, columns: str, parts: int, tell: Callable[[str], None]) -> tuple[Any, list[str]]:
    if reason := registry.missing("zarr"):
        raise ValueError(f"a Zarr array {reason}")
    import zarr

    array = zarr.open_array(path, mode="r")
    indices = _chosen(array.shape, array.dtype, columns)
    read, names = functools.partial(_zarr_rows, path, indices), [str(index + 1) for index in indices]
    return _in_blocks(read, array.shape[0], len(indices), array.dtype, parts, array.chunks[0]), names


def _zarr_rows(path: Path, indices: list[int], start: int, stop: int) -> Any:
    import zarr

    rows: Any = zarr.open_array(path, mode="r")[start:stop]  # opened anew: of an array that a worker lacks it would read zeros
    return rows.reshape(len(rows), -1)[:, indices]


def _parquet(path: Path, columns: str, parts: int, tell: Callable[[str], None]) -> tuple[Any, list[str]]:
    if reason := registry.missing("polars"):
        raise ValueError(f"Parquet {reason}")
    import polars as pl

    try:
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
        count = table.select(pl.len()).collect().item()
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error)) from error
    every = list(schema)
    chosen = [every[index] for index in column_indices(columns, every)] if columns else every
    numbers = [name for name in chosen if schema[name].is_numeric() or schema[name] == pl.Boolean]
    others = [f"{name} ({schema[name]})" for name in chosen if name not in numbers]
    leave_out(others, bool(columns or not numbers), tell)
    if not count:
        raise ValueError("it has no rows of numbers")
    return _in_blocks(functools.partial(_parquet_rows, path, numbers), count, len(numbers), np.float64, parts), numbers


def _parquet_rows(path: Path, names: list[str], start: int, stop: int) -> Any:
    import polars as pl

    table = pl.scan_parquet(path).select(pl.col(names).cast(pl.Float64)).slice(start, stop - start)
    return np.ascontiguousarray(table.collect().to_numpy())


# What tasks do.


def _there(rows: Any) -> Any:
    return ~np.isnan(rows).any(axis=1)


def _present(rows: Any) -> Any:
    return rows[_there(rows)]


def _surveyed(rows: Any) -> tuple[int, list[tuple[int, int, float]]]:
    """Return how many rows have all values, and the first of these that is infinite, as row, column and value."""
    infinite = np.argwhere(np.isinf(rows))[:1].tolist()
    return int(_there(rows).sum()), [(row, column, float(rows[row, column])) for row, column in infinite]
