"""Tables of measurements: what a variant took on a call, stored as JSON that people can read, one file for each machine.

Reading needs no lock, because a file is only ever replaced whole. Whoever writes reads the file again under a lock and puts
its own entries over it, so that tuners that run at once lose nothing. Loads the standard library alone until a file is looked
for.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from kernels._costs import machine as machines

FORMAT = 1
SHIPPED = Path(__file__).with_name("shipped.json")
KEPT = ("of_bound", "noise", "as_tensors")  # what an entry may hold beside its time
FOLDER_VARIABLE = "KERNEL_ZOO_CACHE"
LOCK_SECONDS = 30.0  # how long to wait for other tuners; each holds the lock for some milliseconds
STALE_SECONDS = 600.0  # a temporary file of this age belongs to a process that was killed
logger = logging.getLogger("kernel_zoo")


class Entry(NamedTuple):
    """One measurement of one variant.

    Attributes
    ----------
    operation, variant, dtype : str
    extents : mapping
        The call's extents by name; "batch" is the product of what stands before the core dimensions, 1 if nothing does.
    parameters : mapping
        Parameters of the call that are one of few choices, such as the kernel of a mean shift.
    facts : mapping
        What the operation's own function of facts says of the call's contents; empty if it has none.
    options : mapping
        The variant's own options, where they are not the defaults.
    seconds : float
        The least of the samples, each the median of some runs; of an abandoned variant a lower bound.
    spread : float
        How far the middle half of the samples lies apart, as a share of their median.
    measured : str
        The day, as ISO 8601 writes it.
    abandoned : bool
        Whether the variant was given up as hopeless rather than timed in full.
    of_bound : float or None
        The largest error as a share of its bound; None if it was not kept.
    noise : float or None
        How far apart two medians of the variant lie in one process, as a share (`Measurement.noise`); None if it was not kept.
    as_tensors : float or None
        The seconds that the same call took with tensors for arrays; None if it was not made with them.
    wrong : str
        Why the result was refused, or nothing; then there is no time, and `seconds` is infinite.
    """

    operation: str
    variant: str
    dtype: str
    extents: Mapping[str, int]
    parameters: Mapping[str, Any]
    facts: Mapping[str, float]
    options: Mapping[str, Any]
    seconds: float
    spread: float
    measured: str
    abandoned: bool = False
    of_bound: float | None = None
    noise: float | None = None
    as_tensors: float | None = None
    wrong: str = ""

    @property
    def label(self) -> str:
        """The variant's name, and the options if there are any."""
        return ", ".join([self.variant, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def call(self) -> str:
        """The call that was measured, as text by which calls can be compared."""
        return json.dumps([self.operation, self.dtype, self.extents, self.parameters, self.facts], sort_keys=True)

    @property
    def key(self) -> str:
        """What was measured: of two entries with the same key the later one counts."""
        return json.dumps([self.call, self.variant, self.options], sort_keys=True)


@dataclass(frozen=True)
class Table:
    """The measurements of one machine.

    Attributes
    ----------
    entries : tuple of Entry
    refused : tuple of Entry
        Of variants that were wrong.
    origin : {"tuned", "shipped"}
        Whether they were made on this machine, or came with the package.
    machine : mapping
        The machine that they belong to, as `kernels._costs.machine` describes it.
    path : Path or None
        The file.
    below : Table or None
        The table that this one refines, and that serves operations which it has no entry of.
    notes : tuple of str
        For whom asks why: which files are not used, and what to do about it, one line each.
    """

    entries: tuple[Entry, ...]
    origin: str
    machine: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    below: Table | None = None
    notes: tuple[str, ...] = ()
    refused: tuple[Entry, ...] = ()

    @property
    def kept(self) -> tuple[Entry, ...]:
        """All that its file holds."""
        return self.entries + self.refused

    @property
    def dated(self) -> str | None:
        """The day of the latest measurement; None if there is none."""
        return max((entry.measured for entry in self.entries), default=None)

    def of(self, operation: str) -> Table:
        """Return the entries of one operation alone, from the first table that has any, with that table's origin and date."""
        own, refused = ([e for e in entries if e.operation == operation] for entries in (self.entries, self.refused))
        if own or self.below is None:
            return replace(self, entries=tuple(own), refused=tuple(refused), below=None)
        found = self.below.of(operation)
        return replace(found, notes=self.notes + found.notes, refused=(*refused, *found.refused))

    def layers(self, operation: str) -> list[Table]:
        """Return this table and those below it, each with its entries of one operation alone; the first that has any first."""
        own = replace(self, below=None).of(operation)
        return [*([own] if own.kept else []), *(self.below.layers(operation) if self.below else [])]


# Where tables are, and which one counts


def folder() -> Path:
    """Return the folder of this user's tables: that of the variable KERNEL_ZOO_CACHE, or the system's folder for caches."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    import platformdirs

    return platformdirs.user_cache_path("kernel-zoo", appauthor=False)


def path_here() -> Path:
    """Return the file of this machine's table, whether there is one or not."""
    return folder() / f"measured-{machines.key(machines.machine())}.json"


@functools.cache
def current() -> Table:
    """Return this machine's measurements over those that came with the package. Read once; `forget` makes it read again.

    Files that are broken, or belong to another machine or to other versions, are not used: one line in `notes` says so of each.
    A broken file also is a warning of the logger "kernel_zoo".
    """
    try:
        shipped: Table | None = read(SHIPPED, "shipped")
    except FileNotFoundError:
        shipped = None
    except (ValueError, OSError) as error:
        shipped = Table((), "shipped", notes=(_warned(error),))
    try:
        path, ours = path_here(), machines.machine()
        tuned = read(path)
        if differs := machines.differences(tuned.machine, ours):
            note = f"{path} is not used: it was measured with {'; '.join(differs)} (kernel-zoo tune measures this machine)"
            return Table((), "tuned", ours, path, shipped, (note,))
        return replace(tuned, below=shipped)
    except FileNotFoundError:
        return Table((), "tuned", ours, path, shipped, tuple(_others(path, ours)))
    except (ValueError, OSError) as error:
        return Table((), "tuned", machines.machine(), None, shipped, (_warned(error),))


def forget() -> None:
    """Let the next call of `current` read the files again."""
    current.cache_clear()


def _warned(error: Exception) -> str:
    note = str(error)
    logger.warning("%s", note)
    return note


def _others(path: Path, ours: Mapping[str, Any]) -> Iterator[str]:
    """Say of each other table in a folder why it is not used."""
    for other in sorted(path.parent.glob("measured-*.json")):
        try:
            differs = machines.differences(read(other).machine, ours)
        except (ValueError, OSError) as error:
            yield str(error)
        else:
            if differs:
                yield f"{other} is not used: it was measured with {'; '.join(differs)}"


# Reading


def read(path: Path, origin: str = "tuned") -> Table:
    """Read a file of measurements.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no whole table of measurements; the one line names the file, what is wrong, and what to do.
    """
    try:
        written = json.loads(path.read_bytes())
        if not isinstance(written, dict) or not {"format", "machine", "calls"} <= written.keys():
            raise ValueError("it lacks format, machine or calls")
        if written["format"] != FORMAT:
            raise ValueError(f"it has format {written['format']!r}, and this version reads format {FORMAT}")
        if not isinstance(written["machine"], dict):
            raise ValueError("its machine is no object")
        entries = tuple(_entry(call, run) for call in written["calls"] for run in call["runs"])
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:  # JSON's and Unicode's errors are ValueErrors
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ValueError(f"{path}: is no table of measurements: {what}; delete it and run kernel-zoo tune") from None
    return _table(entries, origin, written["machine"], path)


def _table(entries: Iterable[Entry], origin: str, machine: Mapping[str, Any], path: Path) -> Table:
    """Make a table, in which what was refused stands apart."""
    entries = list(entries)
    timed, refused = (tuple(entry for entry in entries if bool(entry.wrong) is wrong) for wrong in (False, True))
    return Table(timed, origin, machine, path, refused=refused)


def _entry(call: Mapping[str, Any], run: Sequence[Any]) -> Entry:
    """Make an entry of what a file holds; raises TypeError, ValueError or KeyError if it is none."""
    variant, seconds, spread, *further = run
    more: dict[str, Any] = (
        {"options": {}, "abandoned": False, "wrong": ""} | dict.fromkeys(KEPT) | (dict(*further) if further else {})
    )
    names = {"operation": call["operation"], "dtype": call["dtype"], "variant": variant, "measured": call["measured"]}
    tables = {key: call.get(key, {}) for key in ("extents", "parameters", "facts")} | {"options": more.pop("options")}
    abandoned, wrong, kept = more.pop("abandoned"), more.pop("wrong"), {key: more.pop(key) for key in KEPT}
    seconds = math.inf if wrong else seconds
    fine = all(isinstance(value, str) for value in (*names.values(), wrong)) and all(isinstance(v, dict) for v in tables.values())
    fine = fine and all(type(value) is int and value >= 0 for value in tables["extents"].values())
    fine = fine and all(_is_number(value) for value in (*tables["facts"].values(), 0 if wrong else seconds, spread))
    fine = fine and all(value is None or (_is_number(value) and value >= 0) for value in kept.values())
    if not fine or not seconds > 0 or not spread >= 0 or type(abandoned) is not bool or more:
        raise ValueError(f"{run} is no measurement of {names['operation']}")
    return Entry(**names, **tables, seconds=float(seconds), spread=float(spread), abandoned=abandoned, wrong=wrong, **kept)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


# Writing


def merged(*groups: Iterable[Entry]) -> list[Entry]:
    """Return all entries in a fixed order; of those that measured the same thing, that of the last group."""
    latest = {entry.key: entry for group in groups for entry in group}
    return [latest[key] for key in sorted(latest)]


def written(machine: Mapping[str, Any], entries: Iterable[Entry]) -> str:
    """Return the text of a file of measurements: a call on each line, with its runs, each a variant, its seconds and spread."""
    calls: dict[str, dict[str, Any]] = {}
    for entry in merged(entries):
        stated = {"operation": entry.operation, "dtype": entry.dtype, "extents": dict(entry.extents)}
        stated |= {key: dict(getattr(entry, key)) for key in ("parameters", "facts") if getattr(entry, key)}
        call = calls.setdefault(entry.call + entry.measured, {**stated, "measured": entry.measured, "runs": []})
        more: dict[str, Any] = {"options": dict(entry.options)} if entry.options else {}
        more |= {"abandoned": True} if entry.abandoned else {}
        more |= {key: value for key in KEPT if (value := getattr(entry, key)) is not None}
        more |= {"wrong": entry.wrong} if entry.wrong else {}
        seconds = None if entry.wrong else entry.seconds
        call["runs"].append([entry.variant, seconds, entry.spread, *([more] if more else [])])
    lines = ",\n".join(json.dumps(call, allow_nan=False) for call in calls.values())
    return f'{{"format": {FORMAT},\n"machine": {json.dumps(machine, allow_nan=False)},\n"calls": [\n{lines}\n]}}\n'


def add(path: Path, machine: Mapping[str, Any], entries: Iterable[Entry]) -> Table:
    """Put entries over those of a file, which need not exist, and return what it then holds.

    Other processes may do the same at once. The file is replaced whole: whenever this process ends, the file is as it was before
    or as it is after.

    Raises
    ------
    ValueError
        If the file is broken, or belongs to another machine; it is left as it is.
    OSError
        If the file cannot be written; the one line says where to write instead.
    """
    entries = list(entries)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            _sweep(path)
            while True:
                before = _present(path, machine)
                together = merged(before.kept, entries)
                if together != merged(before.kept):
                    known = {name: value for name, value in machine.items() if value is not None}
                    _replace(path, written({**machine, **before.machine, **known}, together))
                # Where the file system has no locks, another may have replaced the file in between: look, and do it again.
                after = _present(path, machine)
                if {entry.key for entry in entries} <= {entry.key for entry in after.kept}:
                    return after
    except OSError as error:
        if not error.strerror:
            raise
        instead = f"write to another file with --output, or name a folder in {FOLDER_VARIABLE}"
        raise OSError(f"{path}: cannot be written: {error.strerror}; {instead}") from None


def _present(path: Path, machine: Mapping[str, Any]) -> Table:
    """Return the table in a file that is to be written to; an empty one if there is no file."""
    try:
        table = read(path)
    except FileNotFoundError:
        return Table((), "tuned", machine, path)
    if differs := machines.differences(table.machine, machine):
        raise ValueError(f"{path}: was measured with {'; '.join(differs)}; it is left as it is, write to another file")
    return table


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file; where the file system has none, go on without."""
    import filelock

    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except (filelock.Timeout, NotImplementedError):
        logger.warning("%s: another process has held its lock for %g seconds; going on without it", path, LOCK_SECONDS)
    except OSError as error:
        if not os.access(path.parent, os.W_OK):
            raise
        logger.warning("%s: the file system has no locks (%s); going on without", path, error.strerror or error)
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()


def _replace(path: Path, text: str) -> None:
    """Replace a file's contents, all at once."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _sweep(path: Path) -> None:
    """Remove what killed processes left of this file."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()
