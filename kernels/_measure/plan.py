"""Which calls of an operation are measured: drawn from its signature, or from the ranges that its `_examples.py` states.

A call's size, the product of its extents, is drawn evenly on a log scale from 1 up; its shape, which is how that product is
shared out among the extents, at random. So tiny, square, tall and flat calls come alike, and every first part of a plan
covers the whole range. A plan is the same wherever it is made, so that a tune can be taken up again.

What an operation's `_examples.py` may state: `GRID`, for an extent the values that it takes in place of any (with repetition for
those that come more often), and `of_extents(rng, extents, contents=...)` with `CONTENTS`, the kinds of contents on which a
variant's time hangs.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels._definition.examples import Example

DTYPES = ("float32", "float64")
GOLDEN = (5**0.5 - 1) / 2  # its multiples, modulo 1, are spread evenly however many there are
LARGEST = 1e12  # the product of a call's extents, and
ENTRIES = 2**24  # the entries of one array, at most; what would take too long all the same is found out when it is tried
BATCHES = (1, 1, 1, 16)  # before core dimensions that are matrices


@dataclass(frozen=True)
class Planned:
    """A call that is to be measured.

    Attributes
    ----------
    dtype : str
    extents : mapping
    parameters : mapping
        Those that are one of few choices, and those that may be left out where they have their default.
    left_out : bool
        Whether arrays that another stands for are left out. Those that nothing stands for always are.
    contents : str or None
        The kind of contents, where the operation knows several.
    size : str or None
        The name of an example, which states all that is above.
    seed : int
    """

    dtype: str
    extents: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    left_out: bool = False
    contents: str | None = None
    size: str | None = None
    seed: int = 0

    def __str__(self) -> str:
        shape = self.size or " ".join(f"{key}={value}" for key, value in self.extents.items())
        return ", ".join([self.dtype, shape, *map(str, self.parameters.values()), *([self.contents] if self.contents else [])])

    def example(self, contract: Any) -> Example:
        """Draw the call."""
        if self.size is not None:
            made: Example = contract.example(self.size, dtype=self.dtype)._replace(steps=1)
            return made
        rng, examples = np.random.default_rng(self.seed), contract.examples
        stated = getattr(examples, "of_extents", None)
        kind = {"contents": self.contents} if self.contents else {}
        given = dict(stated(rng, self.extents, **kind)) if stated else {}
        for key, argument in contract.signature.arrays.items():
            if (self.left_out and key in contract.signature.defaults) or key in contract.signature.nullable:
                given.pop(key, None)
                continue
            shape = [self.extents[extent] for extent in dimensions(contract, argument)]
            if argument.batch and shape[0] == 1:
                del shape[0]
            if argument.keeps_dtype:
                below = self.extents.get(contract.signature.indices.get(key, ""), 2)
                given[key] = rng.integers(0, below, shape).astype(argument.dtypes("")[0])
            else:
                given[key] = np.asarray(given.get(key, rng.standard_normal(shape))).astype(self.dtype)
        for key, each in contract.signature.parameters.items():
            if key in self.parameters:
                given[key] = self.parameters[key]
            elif key not in given and (each.needed or key in contract.LEFT_OUT):
                given[key] = each.example(self.extents)
        public = contract.signature.public.parameters
        keyed = {key: given.pop(key) for key, each in public.items() if each.kind is each.KEYWORD_ONLY and key in given}
        return Example(tuple(given[key] for key in public if key in given), keyed, str(self))


def dimensions(contract: Any, argument: Any) -> tuple[str, ...]:
    """Return the names of an array's extents, with "batch" before them where a batch may stand there."""
    return (*(("batch",) if argument.batch else ()), *argument.extents)


def breadth(contract: Any) -> float:
    """Return in how many ways calls of an operation differ: in its extents, and by how often choices double their number."""
    extents = {each for argument in contract.signature.arrays.values() for each in dimensions(contract, argument)}
    doubled = [len(every) for every in choices(contract).values()] + [len(getattr(contract.examples, "CONTENTS", (None,)))]
    doubled += [2] * len(contract.LEFT_OUT)
    return len(extents) + sum(map(math.log2, doubled))


def choices(contract: Any) -> dict[str, tuple[Any, ...]]:
    """Return the parameters that are one of few choices, each with its choices, the default first."""
    found = {}
    for key in contract.DISCRETE:
        each = contract.signature.parameters[key]
        every = each.choices or (False, True)
        first = every[0] if each.default is inspect.Parameter.empty else each.default
        found[key] = (first, *(value for value in every if value != first))
    return found


def plan(contract: Any, seed: int = 0, named: bool = True, entries: int = ENTRIES) -> Iterator[Planned]:
    """Yield calls without end, with the examples that have a name among the first; another seed yields other calls.

    Half of them have the default of a parameter, the others each of its choices alike.

    Parameters
    ----------
    contract, seed
    named : bool
        Whether the examples that have a name are among them.
    entries : int
        How many entries an array of a call has at most.
    """
    examples = iter([Planned(dtype, size=size) for size in contract.SIZES for dtype in DTYPES] if named else ())
    start = np.random.default_rng(seed).random()
    contents = getattr(contract.examples, "CONTENTS", (None,))
    for index in itertools.count():
        rng = np.random.default_rng((seed, index))
        parameters = {key: every[0] if rng.random() < 0.5 else every[rng.integers(len(every))]
                      for key, every in choices(contract).items()}  # fmt: skip
        parameters |= {key: default for key, default in contract.LEFT_OUT.items() if rng.random() < 0.5}
        left_out = bool(contract.signature.defaults) and rng.random() < 0.5
        level = (start + index // len(DTYPES) * GOLDEN) % 1
        extents = _extents(contract, rng, level, left_out, entries)
        kind = contents[rng.integers(len(contents))]
        yield Planned(DTYPES[index % len(DTYPES)], extents, parameters, left_out, kind, seed=index)
        if index % 4 > 1:
            yield from itertools.islice(examples, 1)


def _extents(contract: Any, rng: np.random.Generator, level: float, left_out: bool, entries: int) -> dict[str, int]:
    """Draw extents whose product lies so far, on a log scale, between 1 and the largest that arrays of `entries` allow."""
    signature, grid = contract.signature, getattr(contract.examples, "GRID", {})
    arrays = {key: dimensions(contract, each) for key, each in signature.arrays.items()}
    names = list(dict.fromkeys(itertools.chain(*arrays.values())))
    same = {name: name for name in names} | (signature.same_extents() if left_out else {})
    if all(len(each.extents) > 1 for each in signature.arrays.values()):
        grid = {"batch": BATCHES} | grid
    fixed = {name: int(rng.choice(grid[name])) for name in names if name in grid}
    free = [name for name in names if name not in grid and same[name] == name]
    kind = rng.integers(4)  # some extents 1; all alike; or any shape
    zeros = int(rng.integers(1, len(free))) if kind == 0 and len(free) > 1 else 0
    shares = np.ones(len(free)) if kind == 1 else rng.permutation([*rng.dirichlet([2.0] * (len(free) - zeros)), *[0.0] * zeros])
    exponents = dict.fromkeys(fixed, 0.0) | dict(zip(free, shares / shares.sum(), strict=True))
    own = [*arrays.values(), *(dimensions(contract, each) for each in signature.results.values()), names]
    most = [entries] * (len(own) - 1) + [LARGEST]
    logs = min(
        math.log(limit / math.prod(fixed.get(same[name], 1) for name in each))
        / max(1e-9, sum(exponents[same[name]] for name in each))
        for each, limit in zip(own, most, strict=True)
    )
    extents = fixed | {name: max(1, round(math.exp(level * max(0.0, logs) * exponents[name]))) for name in free}
    return {"batch": 1} | {name: extents[same[name]] for name in names}
