"""Works: what is measured, as data. Each operation's works have a file of their own here, named after the operation.

Such a file may have, all optional:

- `WORKS`, for the CPU, with the variants and peers that take part; `GROWTH`, the same for a picture of time against size
- `ON_DEVICE`, for a GPU, where everything takes part that the device can run
- `ceiling(record)`: the name of the ceiling in `bench/gpu.py` that a record of `bench/gpu.py` cannot pass, or None
- `crossing_tiles(stand_in)`: calls for `bench/sanitize.py`, as pairs of positional and keyword arguments
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import registry
from kernels._definition.examples import Example


@dataclass(frozen=True)
class Work:
    """One example of an operation, and what takes part."""

    operation: str
    draw: Callable[..., tuple[np.ndarray, ...]]  # of a generator of random numbers and the extents; the arrays are float64
    extents: Mapping[str, int]
    heading: str  # a format of the extents, the parameters and the dtype
    parameters: Mapping[str, object] = field(default_factory=dict)  # the operation's further arguments
    dtype: str = "float32"
    steps: int = 1  # how often the operation is applied, each time with the last result in place of the first array
    ours: tuple[str, ...] = ()  # the names of the zoo's variants that take part on the CPU
    peers: tuple[str, ...] = ()  # the names of the peers, and of variants that are peers themselves, that take part there
    # For an option of variants, the values to compare; then those variants alone take part that have the option.
    options: Mapping[str, tuple] = field(default_factory=dict)
    naive: tuple[str, int] | None = None  # a slow variant, and on how many rows it is timed to estimate its time for all

    @property
    def title(self):
        """What it is, for a heading."""
        parts = [self.heading.format(**self.extents, **self.parameters, dtype=self.dtype)]
        parts += [f"{self.steps} steps"] if self.steps > 1 else []
        parts += [f"by {option.replace('_', ' ')}" for option in self.options]
        return ", ".join(parts)

    def example(self):
        """Draw its arrays; those of bfloat16, which NumPy lacks, in float32."""
        dtype = "float32" if self.dtype == "bfloat16" else self.dtype
        arrays = self.draw(np.random.default_rng(0), **self.extents)
        return Example(tuple(array.astype(dtype) for array in arrays), dict(self.parameters), self.title, self.steps)


def normal(*shapes):
    """Return a function that draws arrays from the standard normal distribution, whose shapes name extents, such as "m k"."""

    def draw(rng, **extents):
        return tuple(rng.standard_normal([extents[name] for name in shape.split()]) for shape in shapes)

    return draw


def of(operation, what, default=None):
    """Return what an operation's file here calls by a name, or the default."""
    if importlib.util.find_spec(f"{__name__}.{operation}") is None:
        return default
    return getattr(importlib.import_module(f"{__name__}.{operation}"), what, default)


def every(what):
    """Return the works of all operations under a name: WORKS, GROWTH or ON_DEVICE."""
    return [work for operation in registry.operations() for work in of(operation, what, ())]
