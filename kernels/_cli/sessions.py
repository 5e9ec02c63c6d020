"""What the commands ask of the processes that run kernels."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import registry
from kernels import _measure
from kernels._cli.inputs import example
from kernels._cli.limits import Limit
from kernels._costs.machine import machine
from kernels._costs.table import Entry
from kernels._measure import plan, tuning


class Comparing:
    """The variants of an operation on one example: each is checked, then timed, one sample whenever the command asks."""

    def __init__(self, limit: Limit, operation: str, options: dict[str, Any]) -> None:
        self.limit = limit
        self.operation = operation
        call = example(operation, **options)
        self.trial = _measure.Trial(registry.contract(operation), call, options["dtype"])
        self.trial.before_run = lambda: limit.start(call.steps)
        self.limited = functools.partial(limit.on_each_call, stops=True)
        self.samplers: dict[str, _measure.Sampler] = {}

    def about(self) -> dict[str, Any]:
        """Return what the comparison is on."""
        trial = self.trial
        rows = {"rows_checked": len(trial.checked), "rows_in_all": trial.rows}
        return {"operation": self.operation, "example": trial.example.title, "dtype": trial.dtype, **rows, "unit": trial.unit}

    def qualify(self, name: str, limit: float) -> _measure.Measurement:
        """Check a variant, unless a run would take more seconds than the limit."""
        variant = registry.variant(self.operation, name)
        self.limit.start_import()
        measurement, function = _measure.qualify(self.trial, variant, limit, wrap=self.limited)
        if function:
            self.samplers[name] = _measure.Sampler(self.trial, measurement, function)
        return measurement

    def take(self, measurement: _measure.Measurement, index: int) -> _measure.Measurement | None:
        """Take a variant's sample of this index; return what is known of the variant now, or None if it has all its samples.

        A run warms up a variant that qualified in another process, which has ended.
        """
        name = measurement.variant.name
        if name not in self.samplers:
            self.limit.start_import()
            function = registry.get(self.operation, name)
            self.trial.run(self.limited(function))
            self.samplers[name] = _measure.Sampler(self.trial, measurement, function)
        sampler = self.samplers[name]
        try:
            return sampler.measurement if sampler.take(index) else None
        except KeyboardInterrupt:  # its own: Ctrl-C does not come here
            sampler.measurement.reject("in a timed run, it raised KeyboardInterrupt")
            return sampler.measurement


class Tuning:
    """The calls of an operation's plan, each measured when the command asks for it."""

    def __init__(self, limit: Limit, device: str, pace: tuning.Pace) -> None:
        self.limit, self.device, self.pace = limit, device, pace

    def begin(self, operation: str, known: list[Entry], again: bool) -> None:
        """Turn to an operation, of which some entries are known; the calls that these are of are not measured again."""
        wrap = functools.partial(self.limit.on_each_call, stops=True)
        self.tuner = tuning.Tuner(
            operation, device=self.device, pace=self.pace, known=known, wrap=wrap, before_run=self.limit.start
        )
        self.plan = enumerate(plan.plan(self.tuner.contract, entries=self.pace.entries))
        named = {dtype: {entry.variant for entry in known if entry.dtype == dtype} for dtype in plan.DTYPES}
        new = {dtype for dtype, names in named.items() if any(v.name not in names for v in self.tuner.candidates(dtype))}
        self.done = {tuning.shape_of(entry) for entry in known if not again and entry.dtype not in new}

    def measure(self, index: int) -> tuple[str, tuning.Measured | None, dict[str, Any]]:
        """Measure the call at a position of the plan; return what it is, what was found, and this machine.

        Nothing is found where the call was measured before, or its arrays, the result among them, are too large.
        """
        planned = next(planned for position, planned in self.plan if position == index)
        contract = self.tuner.contract
        example = planned.example(contract)
        args, kwargs = contract.validate(*example.args, **example.kwargs)
        shape = tuning.shape_of(tuning.described(contract, example, planned.dtype, looks=False))
        sizes = [each.size for each in (*args, *kwargs.values()) if hasattr(each, "size")]
        sizes += map(math.prod, contract.shapes(*args, **kwargs))
        found = None
        if shape not in self.done and max(sizes) <= self.pace.entries:
            self.done.add(shape)
            self.limit.start_import()
            found = self.tuner.measure(example, planned.dtype)
        return str(planned), found, machine()


class Checking:
    """A function under test: a registered variant, or `package.module:function` in the current folder."""

    def __init__(self, limit: Limit, operation: str, target: str, claims: dict[str, Any], examples: int, seed: int) -> None:
        self.limit = limit
        self.operation, self.target, self.claims = operation, target, claims
        self.examples, self.seed = examples, seed
        self.properties: dict[str, Any] = {}

    def load(self) -> str:
        """Import a function; return where it is, as ``file:line``, or nothing if it is not written in Python."""
        self.limit.start_import()
        if ":" in self.target:
            self.function = loaded(self.target)
            code = getattr(inspect.unwrap(self.function), "__code__", None)
            self.source = f"{code.co_filename}:{code.co_firstlineno}" if code else ""
        else:
            self.source = registry.variant(self.operation, self.target).source
        return self.source

    def prepare(self) -> tuple[list[str], list[str]]:
        """Call the function for the first time, perhaps; return the properties that it can be asked about, and notes."""
        from kernels import _conformance
        from kernels._conformance.claims import implementation_from

        self.limit.start_import()  # of torch, for one
        zoo, watch = registry.zoo(), self.limit.on_each_call
        if ":" in self.target:
            self.implementation = implementation_from(zoo, self.operation, watch(self.function), **self.claims)
        else:
            registered = _conformance.implementation_of(zoo, registry.variant(self.operation, self.target))
            self.implementation = replace(registered, function=watch(registered.function))
        self.properties = {each.__name__: each for each in _conformance.all_properties(self.implementation.contract)}
        return list(self.properties), list(self.implementation.notes)

    def ask(self, name: str) -> dict[str, Any]:
        """Ask one property; return what was seen."""
        from kernels import _conformance

        if not self.properties:  # the process that prepared has ended, and this one takes its place
            self.load()
            self.prepare()
            self.limit.stop()
        row: dict[str, Any] = {"property": name, "passed": True, "failure": None}
        try:
            record = _conformance.run(self.properties[name], self.implementation, self.examples, self.seed)
        except registry.ConformanceError as error:
            place = _measure.place_of(error.__cause__, self.source.rpartition(":")[0])
            return row | {"passed": False, "failure": str(error), "place": place}
        return row | {
            "examples": record.examples,
            "worst_error_over_bound": record.worst if record.entries else None,
            "seconds": record.seconds,
            "largest_extent": record.largest,
            "tile_crossings": record.crossings,
            "vacuous_share": record.vacuous_share,
        }


def loaded(target: str) -> Callable[..., Any]:
    """Import the function that `package.module:function` names."""
    module, _, name = target.partition(":")
    sys.path.insert(0, "")  # as `python -m` does: people check what lies in the current folder
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{target} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")
    if not callable(function):
        raise ValueError(f"{target} has type {type(function).__name__}, expected a function")
    return function  # type: ignore[no-any-return]
