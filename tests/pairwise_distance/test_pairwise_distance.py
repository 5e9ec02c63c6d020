"""Distances that other libraries lose, and how the compiled kernel keeps its squares within the range."""

import numpy as np
import pytest

import registry
from kernels import _conformance
from kernels.pairwise_distance import _properties

numba = pytest.importorskip("numba")
REFUSED = r"\d+ of \d+ distances lost their digits, 1\.34e\+08 from the origin: .*: coordinates must be subtracted first"


def test_scikit_learns_distances_far_from_the_origin_are_refused_with_the_reason():
    euclidean_distances = pytest.importorskip("sklearn.metrics.pairwise").euclidean_distances

    def scikit_learn(x, y, metric):
        return euclidean_distances(x, y)

    claims = {"dtypes": ("float64",), "limits": {"metric": ("euclidean",)}}
    implementation = _conformance.implementation_from(registry.zoo(), "pairwise_distance", scikit_learn, **claims)
    with pytest.raises(registry.ConformanceError, match=REFUSED):
        _conformance.run(_properties.keeps_its_digits_far_from_the_origin, implementation, 25)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_power_of_two_serves_all_squares_or_none_does(dtype):
    from kernels.pairwise_distance.numba import exponent_for_squares

    limits = np.finfo(dtype)
    for size in (1.0, float(limits.smallest_subnormal), float(limits.tiny), float(limits.max) / 4):
        x = np.array([[size, 0.0], [0.0, size]], dtype)
        exponent = exponent_for_squares(x, x)
        squares = np.square(np.ldexp(x, exponent).astype(dtype)).sum()
        assert limits.tiny < squares < np.inf
        assert (np.ldexp(np.ldexp(x, exponent), -exponent) == x).all()
    apart = np.array([[limits.max / 4], [limits.tiny]], dtype)
    assert exponent_for_squares(apart, apart) is None
    assert exponent_for_squares(np.zeros_like(apart), np.full_like(apart, np.nan)) == 0


def test_a_power_of_the_result_hangs_on_the_metric(monkeypatch):
    """A statement of one power for all metrics is false, and shows."""
    implementation = _conformance.implementation_of(registry.zoo(), registry.variant("pairwise_distance", "broadcast"))
    property_ = _conformance.relations.scales_exactly_by_powers_of_two
    _conformance.run(property_, implementation, 30)
    own = _conformance.relations.properties_of(implementation.contract)
    monkeypatch.setattr(own, "SCALES", ({"x": 1, "y": 1, "result": 1},))
    with pytest.raises(registry.ConformanceError):
        _conformance.run(property_, implementation, 30)


def test_points_from_each_other_may_come_in_any_order():
    """Where y is left out, the order of x is that of the rows and of the columns."""
    implementation = _conformance.implementation_of(registry.zoo(), registry.variant("pairwise_distance", "broadcast"))
    record = _conformance.run(_conformance.relations.commutes_with_permutations, implementation, 100)
    assert record.examples
