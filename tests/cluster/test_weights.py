"""Weights of the rows: as if a row were repeated, rows without weight, equal rows that walk as one, and distances as features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.utils.validation import check_is_fitted

import registry
from kernels._walks import distinct, mass_within
from kernels.cluster import MeanShift, estimate_bandwidth

SEEDS = st.integers(0, 2**32 - 1)
FAST = settings(max_examples=min(20, settings.default.max_examples), deadline=None)
FORMS = [
    {},
    {"blurring": True},
    {"kernel": "flat", "labels": "nearest"},
    {"kernel": "triangular", "seeding": "grid", "min_bin_freq": 3},
    {"history": True},
]


def assert_at_rest(model, X, weights=None):
    """Hold the modes to what `tol` says of the end of a walk: its step among these data is no longer than tol bandwidths."""
    ends, h = model.cluster_centers_, model.bandwidth_
    call = {"data": X, "weights": weights, "kernel": model.kernel}
    steps = registry.get("meanshift_step", "broadcast")(ends, h, **call) - ends
    rounding = registry.contract("meanshift_step").bound(ends, h, **call, dtype="float64", precision="working")
    assert (np.sqrt((steps**2).sum(axis=1)) <= model.tol * h + np.sqrt((rounding**2).sum(axis=1))).all()


def weighted_blobs(seed, most=4):
    rng = np.random.default_rng(seed)
    X, _ = make_blobs(60, centers=4, cluster_std=0.7, random_state=seed % 2**32)
    counts = rng.integers(0, most, len(X))
    counts[0] += 1
    return X, counts


@pytest.mark.parametrize("parameters", FORMS, ids=str)
@FAST
@given(seed=SEEDS)
def test_a_weight_is_a_number_of_rows(parameters, seed):
    X, counts = weighted_blobs(seed)
    once = MeanShift(bandwidth=1.5, **parameters).fit(X, sample_weight=counts)
    often = MeanShift(bandwidth=1.5, **parameters).fit(np.repeat(X, counts, axis=0))
    assert once.cluster_centers_.shape == often.cluster_centers_.shape
    if not once.blurring:  # there the data move, and what rests, rests among them
        assert_at_rest(once, np.repeat(X, counts, axis=0))
        assert_at_rest(often, X, counts.astype(float))
    assert (np.repeat(once.labels_, counts) == often.labels_).all()
    assert (once.labels_[counts == 0] == once.predict(X)[counts == 0]).all()


@FAST
@given(seed=SEEDS)
def test_weights_of_1_are_none_and_rows_without_weight_have_no_influence(seed):
    X, counts = weighted_blobs(seed)
    plain, unit = MeanShift(bandwidth=1.2).fit(X), MeanShift(bandwidth=1.2).fit(X, sample_weight=np.ones(len(X)))
    np.testing.assert_array_equal(unit.cluster_centers_, plain.cluster_centers_)
    assert (unit.labels_ == plain.labels_).all()
    there = counts > 0
    some, moved = MeanShift().fit(X, sample_weight=counts), X + np.where(there[:, None], 0, 1e3)
    others = MeanShift().fit(moved, sample_weight=counts)
    assert others.bandwidth_ == some.bandwidth_
    np.testing.assert_array_equal(others.cluster_centers_, some.cluster_centers_)
    assert (others.labels_[there] == some.labels_[there]).all()


def test_modes_rank_and_cells_count_by_weight():
    X = np.array([[0.0], [0.1], [0.2], [9.0], [20.0]])
    assert MeanShift(bandwidth=1.0).fit(X).labels_.tolist() == [0, 0, 0, 2, 1]
    heavy = MeanShift(bandwidth=1.0).fit(X, sample_weight=[1, 1, 1, 4, 3.5])
    assert heavy.labels_.tolist() == [2, 2, 2, 0, 1]
    full = MeanShift(bandwidth=1.0, seeding="grid", min_bin_freq=4).fit(X, sample_weight=[1, 1, 1, 4, 3.5])
    assert full.cluster_centers_.shape == (1, 1)
    assert abs(full.cluster_centers_[0, 0] - 9) <= full.tol * full.bandwidth_  # the others weigh less than 1e-15 there


@pytest.mark.parametrize("kernel", ["gaussian", "flat"])
def test_equal_rows_walk_as_one(kernel, monkeypatch):
    walked, centers = [], [[0.0, 0.0], [9.0, 1.0], [4.0, 8.0]]
    X = np.rint(2 * make_blobs(3_000, centers=centers, random_state=0)[0]) / 2
    walk = MeanShift._walk
    monkeypatch.setattr(MeanShift, "_walk", lambda self, seeds, *rest: walked.append(len(seeds)) or walk(self, seeds, *rest))
    merged = MeanShift(bandwidth=2.1, kernel=kernel).fit(X)
    apart = MeanShift(bandwidth=2.1, kernel=kernel, callback=lambda *_: None).fit(X)
    assert walked == [len(np.unique(X, axis=0)), len(X)]
    assert merged.cluster_centers_.shape == apart.cluster_centers_.shape
    for model in (merged, apart):
        assert_at_rest(model, X)
    assert (merged.labels_ == apart.labels_).all()


@FAST
@given(seed=SEEDS, d=st.integers(1, 4), weighted=st.booleans())
def test_distinct_rows_are_those_of_numpy(seed, d, weighted):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (40, d)) * rng.choice([0.0, -0.0, 1.0])
    weights = rng.integers(0, 5, 40) / 4 if weighted else None
    rows, which, mass = distinct(X, weights)
    expected = np.unique(X, axis=0)
    assert len(rows) == len(expected)
    assert (X[rows][which] == X).all()
    np.testing.assert_array_equal(mass, [np.sum(1 if weights is None else weights[which == i]) if weighted else (which == i).sum()
                                         for i in range(len(rows))])  # fmt: skip


@FAST
@given(seed=SEEDS)
def test_mass_within_a_radius_is_summed_in_blocks(seed):
    rng = np.random.default_rng(seed)
    data, ends, weights = rng.random((50, 2)), rng.random((30, 2)) * 1.5, rng.integers(1, 9, 50) / 8
    near = ((ends[:, None] - data) ** 2).sum(axis=2) <= 0.3**2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kernels._walks.PAIRS", int(rng.integers(1, 40)))
        np.testing.assert_array_equal(mass_within(ends, data, weights, 0.3), near @ weights)
    np.testing.assert_array_equal(mass_within(ends, data, None, 0.3), near.sum(axis=1))


@pytest.mark.parametrize("quantile", [0, 0.2, 1 / 3, 1])
def test_a_bandwidth_counts_weights_as_rows(quantile):
    X, counts = weighted_blobs(1)
    often = estimate_bandwidth(np.repeat(X, counts, axis=0), quantile=quantile)
    rounding = counts.sum() * np.finfo(float).eps  # of positive terms, added up in two orders
    assert estimate_bandwidth(X, quantile=quantile, sample_weight=counts) == pytest.approx(often, rel=rounding, abs=0)
    assert estimate_bandwidth(X, quantile=quantile, sample_weight=counts / 1e6) > 0 or quantile == 0


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0]])
def test_weights_that_are_none_are_refused_in_a_line(weights):
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        MeanShift(bandwidth=1.0).fit([[0.0], [1.0], [5.0]], sample_weight=weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_from_the_modes_are_features(dtype):
    X = make_blobs(40, centers=3, cluster_std=0.4, random_state=2)[0].astype(dtype)
    model = MeanShift(bandwidth=1.0)
    distances = model.set_output(transform="pandas").fit_transform(X)
    check_is_fitted(model)
    assert list(distances.columns) == [f"meanshift{i}" for i in range(len(model.cluster_centers_))]
    assert (distances.to_numpy().argmin(axis=1) == model.labels_).all()
    assert model.set_output(transform="default").transform(X).dtype == dtype
