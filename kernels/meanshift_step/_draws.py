"""Points, weights and bandwidths that find bugs in a mean-shift step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels._conformance.cases import Case, extents
from kernels._conformance.implementation import Implementation
from kernels.meanshift_step import KERNELS

DIMENSIONS = (1, 2, 3, 4, 5, 6, 16, 0)
WIDE = (8, 7, 9, 12, 17, 23, 24, 31, 32, 33, 64, 65, 129)
MASSES = ("equal", "counts", "of every size", "mostly none", "counts", "mostly none", "none")


@st.composite
def parameters(draw: st.DrawFn, implementation: Implementation, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a kernel, and a bandwidth for points of unit spread: from their spacing to beyond their extent."""
    spread = draw(st.sampled_from([1.0, 0.25, 4.0, 2.0**20])) * math.sqrt(max(1, arrays["x"].shape[1] / 4))  # as distances grow
    return {"bandwidth": spread * (1 + draw(st.integers(1, 2**20)) / 2**20), "kernel": draw(kernels(implementation))}


def points(rng: np.random.Generator, form: str, n: int, d: int) -> np.ndarray[Any, Any]:
    """Draw n points of unit spread in a form that has broken kernels before."""
    cloud = rng.standard_normal((n, d))
    if form == "clusters" and n:  # far apart, so that most pairs weigh nothing
        return np.asarray(cloud / 8 + 8 * rng.integers(-2, 3, (3, d))[rng.integers(3, size=n)])
    if form == "duplicates" and n:
        return np.asarray(cloud[rng.integers(max(1, n // 3), size=n)])
    if form == "outlier" and n:
        cloud[0] += 50
    if form == "cells":  # pairs on either side of the edges of a grid of unit cells, negative ones among them
        return np.asarray(rng.integers(-2, 3, (n, d)) + rng.choice([-1e-3, 1e-3], (n, d)))
    return cloud


@st.composite
def cases(draw: st.DrawFn, implementation: Implementation, most: int) -> Case:
    """Draw points, their scale and offset, and a bandwidth from far below their spacing to far above their extent."""
    dtype = draw(st.sampled_from(implementation.dtypes))
    d = draw(st.one_of(*[dimensions(implementation, choices) for choices in (DIMENSIONS, DIMENSIONS, WIDE)]))
    room = most // max(1, d)
    n = draw(extents(most, room if takes_data(implementation) else math.isqrt(room)))
    blurring = n == 0 or not takes_data(implementation) or (n * n <= room and draw(st.booleans()))
    m = n if blurring else max(1, draw(extents(most, room // n)))
    form = draw(st.sampled_from(["cloud", "clusters", "duplicates", "outlier", "cells"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    unit = 2.0 ** draw(st.integers(-30, 30))
    bandwidth = unit * 2.0 ** draw(st.sampled_from([*range(-4, 7), 20])) * (1 + rng.random())  # no lattice on its edge by chance
    bandwidth *= math.sqrt(max(1, d / 4))  # as distances grow
    offset = draw(st.sampled_from([0.0, 0.0, 10.0, 1e3]))
    arrays = {"x": ((points(rng, form, n, d) + offset) * unit).astype(dtype)}
    if not blurring:
        arrays["data"] = ((points(rng, form, m, d) + offset) * unit).astype(dtype)
    if takes_weights(implementation) and draw(st.booleans()):
        size = 2.0 ** draw(st.sampled_from([0, 0, -100, 100]))
        arrays["weights"] = (size * masses(rng, draw(st.sampled_from(MASSES)), m)).astype(dtype)
    return Case(arrays, {"bandwidth": bandwidth, "kernel": draw(kernels(implementation))}, dtype)


def masses(rng: np.random.Generator, form: str, m: int) -> np.ndarray[Any, Any]:
    """Draw weights of m data in a form that may break kernels: some or all of them 0, or of very different sizes."""
    if form == "counts":
        return rng.integers(0, 5, m)
    if form == "of every size":
        return np.asarray(2.0 ** rng.uniform(-12, 12, m))
    if form == "mostly none":
        return np.where(rng.random(m) < 0.1, rng.random(m), 0)
    return np.full(m, float(form == "equal"))


def dimensions(implementation: Implementation, choices: Iterable[int]) -> st.SearchStrategy[int]:
    """Draw a number of dimensions that the implementation takes."""
    choices = list(choices)
    taken = implementation.within("dimensions", choices) or implementation.within(
        "dimensions", range(min(choices), 1 + max(WIDE))
    )
    return st.sampled_from(taken) if taken else st.nothing()


@st.composite
def directions(draw: st.DrawFn, implementation: Implementation, choices: Iterable[int]) -> np.ndarray[Any, Any]:
    """Draw a direction, along an axis or across, in a number of dimensions that the implementation takes."""
    d = draw(dimensions(implementation, choices))
    across = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(d)
    along = draw(st.sampled_from([-1, 1])) * np.eye(d)[draw(st.integers(0, d - 1))]
    return draw(st.sampled_from([along, across / math.sqrt(across @ across)]))


def takes_data(implementation: Implementation) -> bool:
    """Whether the implementation claims to move points towards others than themselves."""
    return "data" not in implementation.limits


def takes_weights(implementation: Implementation) -> bool:
    """Whether the implementation claims to take data with weights."""
    return "weights" not in implementation.limits


def kernels(implementation: Implementation) -> st.SearchStrategy[str]:
    """Draw a kernel that the implementation takes."""
    return st.sampled_from(implementation.within("kernel", KERNELS))
