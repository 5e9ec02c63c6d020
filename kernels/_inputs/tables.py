"""Tables: lines of text with separators, compressed or not, and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import registry
from kernels._inputs.columns import column_indices, labels, leave_out, require_rows

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
SEPARATORS = "\t;|, "  # of several that split the lines equally well the first is taken: "1,5; 2,5" has decimal commas
MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", ".")  # in lower case: what stands for no value
NUMBER = r"^\s*([+-]?\d*)MARK(\d+(?:[eE][+-]?\d+)?)\s*$"
SAMPLE = 100  # the lines that tell the separator, and whether there is a heading


class Table(NamedTuple):
    """The columns of numbers of a table, in the rows that have them all."""

    numbers: np.ndarray[Any, Any]  # (rows, columns), in float64
    indices: list[int]  # of these columns in the file, from 0
    names: list[str]  # of all the columns in the file; "" where one has none
    kept: np.ndarray[Any, Any]  # whether each row of the file is here


def read(path: Path, chosen: str, tell: Callable[[str], None]) -> Table:
    """Return the columns of numbers: those that are `chosen`, or all.

    Columns that hold something else, and then rows without a value in some column, are left out, and `tell` is told.
    """
    if reason := registry.missing("polars"):
        raise ValueError(f"a table {reason}")
    import polars as pl

    try:
        frame, names = _parquet(path) if path.suffix.lower() == ".parquet" else _text(path, tell)
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error)) from error
    if not len(frame):
        raise ValueError("it has no rows of numbers")
    indices = column_indices(chosen, names) if chosen else range(len(names))
    numbers, words = {}, []
    for index in indices:
        column, word = _numbers(frame[:, index])
        if word is None:
            numbers[index] = column
        else:
            words.append(f"{names[index] or index + 1} ({word})")
    leave_out(words, bool(chosen or not numbers), tell)
    full = pl.DataFrame([column.alias(str(index)) for index, column in numbers.items()])
    kept = full.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    require_rows(kept.sum(), len(frame), tell)
    return Table(np.ascontiguousarray(full.filter(kept).to_numpy()), list(numbers), names, kept.to_numpy())


def _parquet(path: Path) -> tuple[Any, list[str]]:
    import polars as pl

    frame = pl.read_parquet(path)
    return frame, frame.columns


def _text(path: Path, tell: Callable[[str], None]) -> tuple[Any, list[str]]:
    """Return a frame of text and its columns' names, "" where there is none; lines that are blank or comments do not count."""
    import polars as pl

    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    if any("\0" in line for line in lines[:SAMPLE]):
        raise ValueError("it is no text in UTF-8")
    separator = _separator(lines[1:SAMPLE] or lines)
    if separator == " ":
        lines = [" ".join(line.split()) + "\n" for line in lines]  # columns are often aligned by several blanks
    sample = [[entry.strip() for entry in row] for row in csv.reader(lines[:SAMPLE], delimiter=separator)]
    widths = Counter(map(len, sample))
    width = max(widths, key=lambda width: (widths[width], width), default=0)
    names = [""] * width
    if sample and _is_heading(sample[0], sample[1:], width):
        del lines[0]
        if len(sample[0]) == width:
            names = sample[0]
        if any(map(_is_number, sample[0])):
            tell(f"the first line is taken for a heading: {', '.join(labels(sample[0]))}")
    if not lines:
        return pl.DataFrame(), names
    schema = {str(index): pl.String for index in range(width)}
    text = io.BytesIO("".join(lines).encode())
    try:
        frame = pl.read_csv(text, separator=separator, has_header=False, schema=schema)
    except pl.exceptions.PolarsError as error:
        long = next((row for row in csv.reader(lines, delimiter=separator) if len(row) > width), None)
        if long is None:
            raise
        raise ValueError(f"the line that begins with {long[:3]} has {len(long)} columns, most have {width}") from error
    return _with_decimal_points(frame, tell) if separator == ";" else frame, names


def _with_decimal_points(frame: Any, tell: Callable[[str], None]) -> Any:
    """Write 1,5 as 1.5 where some numbers have commas and none has a point, as spreadsheets do in much of Europe."""
    import polars as pl

    def somewhere(mark: str) -> bool:
        return any(column.str.contains(NUMBER.replace("MARK", mark)).any() for column in frame)

    if not somewhere(",") or somewhere("[.]"):
        return frame
    tell("commas are read as decimal points")
    return frame.with_columns(pl.all().str.replace(NUMBER.replace("MARK", ","), "$1.$2"))


def _numbers(column: Any) -> tuple[Any, str | None]:
    """Return a column in float64, null where a value is missing; or a word on why it holds no numbers."""
    import polars as pl

    if column.null_count() == len(column):
        return column, "empty"
    if column.dtype != pl.String:
        numeric = column.dtype.is_numeric() or column.dtype == pl.Boolean
        return (column.cast(pl.Float64).fill_nan(None), None) if numeric else (column, str(column.dtype))
    column = column.str.strip_chars()
    column = column.set(column.str.to_lowercase().is_in(MISSING), None)
    numbers = column.cast(pl.Float64, strict=False)
    words = column.filter(numbers.is_null() & column.is_not_null())
    return (numbers, None) if words.is_empty() else (column, repr(words[0]))


def _separator(lines: Sequence[str]) -> str:
    """Return the separator that splits the most lines into one number of fields, two or more; else a comma."""

    def agreeing(separator: str) -> int:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True))
        return max((count for width, count in widths.items() if width > 1), default=0)

    best = max(SEPARATORS, key=agreeing)
    return best if agreeing(best) else ","


def _is_heading(first: Sequence[str], rest: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first line names the columns: it is all words, or has a word above a number, or another length."""
    words = [index for index, entry in enumerate(first) if not _is_number(entry) and entry.lower() not in MISSING]
    if not words or not rest:
        return bool(words)
    if len(first) != width or all(index in words for index, entry in enumerate(first) if entry):
        return True
    return any(_is_number(row[index]) for row in rest for index in words if index < len(row))


def _is_number(entry: str) -> bool:
    try:
        float(entry.replace(",", "."))
    except ValueError:
        return False
    return True
