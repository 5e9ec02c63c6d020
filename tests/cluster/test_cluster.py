"""The estimator MeanShift: beside scikit-learn's estimator, on the lecture's points, and on data that goes wrong."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.cluster
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

import registry
from kernels._walks import cells, steps_ahead
from kernels.cluster import KERNELS, MeanShift, estimate_bandwidth

FAST = settings(max_examples=min(20, settings.default.max_examples))


def lecture(n=1500, dtype=float):
    """Return the lecture's points: six clusters, and which each point was drawn from."""
    rng = np.random.default_rng(0)
    centroids = rng.uniform(-35, 35, (6, 2))
    drawn = np.repeat(np.arange(6), n // 6)
    return (centroids[drawn] + rng.multivariate_normal(np.zeros(2), 5 * np.eye(2), len(drawn))).astype(dtype), drawn


def renamed(labels):
    """Return labels numbered in the order of their first points: equal for equal partitions."""
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_bandwidth_estimated_as_0_leaves_every_value_its_own_cluster(dtype):
    X = np.array([1, 1, 1, 2, 2, 2, 3, 3], dtype=dtype).reshape(-1, 1)
    assert estimate_bandwidth(X) == 0
    models = [MeanShift(seeding=seeding).fit(X) for seeding in ("points", "grid")]
    for model in models:
        np.testing.assert_array_equal(renamed(model.labels_), [0, 0, 0, 1, 1, 1, 2, 2])
        np.testing.assert_allclose(np.sort(model.cluster_centers_, axis=0), [[1], [2], [3]])


# Beside scikit-learn

DATA = {
    "blobs": (make_blobs(400, centers=5, cluster_std=0.7, random_state=3)[0], 2.0),
    "moons": (make_moons(400, noise=0.05, random_state=0)[0], 0.6),
    "digits": (load_digits().data[:150], 26.0),
}


@pytest.mark.parametrize("name", DATA)
def test_a_flat_kernel_makes_scikit_learns_clusters(name):
    from threadpoolctl import threadpool_limits  # which scikit-learn brings

    X, bandwidth = DATA[name]
    with threadpool_limits(1):  # it searches for one point at a time, and its threads would only wait for each other
        expected = sklearn.cluster.MeanShift(bandwidth=bandwidth).fit(X)
    ours = MeanShift(bandwidth=bandwidth, kernel="flat", labels="nearest").fit(X)
    assert len(expected.cluster_centers_) > 1
    assert adjusted_rand_score(expected.labels_, ours.labels_) >= 0.99


@pytest.mark.parametrize("quantile", [0, 0.1, 1 / 3, 1])
def test_the_bandwidth_of_a_compact_kernel_is_scikit_learns(quantile):
    X = lecture(300)[0]
    expected = sklearn.cluster.estimate_bandwidth(X, quantile=quantile)
    assert estimate_bandwidth(X, quantile=quantile, kernel="flat") == pytest.approx(expected)


def test_a_large_set_is_estimated_from_a_sample_in_bounded_memory():
    X = np.random.default_rng(0).standard_normal((200_000, 2))
    radius = estimate_bandwidth(X, kernel="flat", quantile=1 / 3)
    inside = (np.linalg.norm(X - X[:50, None], axis=-1) <= radius).mean()
    assert 0.2 < inside < 0.45  # a third, in the mean over radii that differ from point to point


# The lecture


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "bandwidth"), [("gaussian", 2.5), ("triangular", 8.0), ("epanechnikov", 8.0), ("flat", 5.5)])
@pytest.mark.parametrize("blurring", [False, True])
def test_the_lectures_six_clusters_are_found(kernel, bandwidth, blurring, dtype):
    X, drawn = lecture(dtype=dtype)
    model = MeanShift(bandwidth=bandwidth, kernel=kernel, blurring=blurring).fit(X)
    assert len(model.cluster_centers_) == 6
    assert model.cluster_centers_.dtype == dtype
    assert adjusted_rand_score(drawn, model.labels_) > 0.98
    if not blurring:
        np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_a_bandwidth_of_its_own_finds_separate_blobs():
    X, drawn = make_blobs(600, centers=[[-5, 0], [5, 0], [0, 8]], random_state=0)
    assert adjusted_rand_score(drawn, MeanShift().fit_predict(X)) > 0.98


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_end_is_where_a_step_leads_nowhere(kernel):
    X = lecture(600)[0]
    model = MeanShift(bandwidth=3.0, kernel=kernel).fit(X)
    moved = registry.get("meanshift_step")(model.cluster_centers_, 3.0, data=X, kernel=kernel)
    assert np.linalg.norm(moved - model.cluster_centers_, axis=1).max() <= 2e-3 * 3.0


def test_long_strides_end_where_short_ones_do():
    X = lecture(1500)[0]
    step, z = registry.get("meanshift_step"), X
    for _ in range(200):
        z = step(z, 1.5, data=X)
    model = MeanShift(bandwidth=1.5).fit(X)
    assert model.n_iter_ < 60
    ends = np.linalg.norm(z[:, None] - model.cluster_centers_, axis=-1)
    assert adjusted_rand_score(ends.argmin(axis=1), model.labels_) >= 0.999


def test_a_point_belongs_where_its_own_walk_ends_or_to_the_nearest_mode():
    X = np.concatenate([np.linspace(0, 10, 400), np.full(1000, 11.5)])[:, None]  # from a slope the walk is long
    attractor = MeanShift(bandwidth=0.8, kernel="gaussian").fit(X)
    nearest = MeanShift(bandwidth=0.8, kernel="gaussian", labels="nearest").fit(X)
    np.testing.assert_array_equal(attractor.cluster_centers_, nearest.cluster_centers_)
    closest = np.abs(X - attractor.cluster_centers_.T).argmin(axis=1)
    np.testing.assert_array_equal(nearest.labels_, closest)
    assert (attractor.labels_ != closest).any()


def test_a_grid_seeds_one_point_of_each_cell_that_is_full_enough():
    X = np.array([[0.1], [0.2], [0.3], [5.1], [9.9], [10.0]])
    every = MeanShift(bandwidth=1.0, seeding="grid", kernel="flat", history=True).fit(X)
    assert len(every.history_[0]) == len(every.cluster_centers_) == 3
    full = MeanShift(bandwidth=1.0, seeding="grid", kernel="flat", min_bin_freq=2, cluster_all=False).fit(X)
    assert renamed(full.labels_).tolist() == [0, 0, 0, 1, 2, 2]
    assert full.labels_[3] == -1
    with pytest.raises(ValueError, match="no cell holds min_bin_freq=9 points: the fullest has 3"):
        MeanShift(bandwidth=1.0, seeding="grid", min_bin_freq=9).fit(X)


def test_a_grid_far_too_fine_seeds_every_point():
    X = np.arange(40.0).reshape(20, 2)
    assert len(MeanShift(bandwidth=1e-30, seeding="grid").fit(X).cluster_centers_) == 20


def test_a_point_beyond_every_kernel_is_an_orphan_if_asked_for():
    X = lecture(300)[0]
    model = MeanShift(bandwidth=8.0, kernel="triangular", cluster_all=False).fit(X)
    assert model.predict([[500.0, 500.0]]).tolist() == [-1]
    assert MeanShift(bandwidth=8.0, kernel="triangular").fit(X).predict([[500.0, 500.0]])[0] >= 0


def test_history_and_callback_tell_of_each_step(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    X = lecture(300)[0]
    told = []
    report = lambda step, points, moving: told.append((step, points, moving))  # noqa: E731
    model = MeanShift(bandwidth=2.5, history=True, callback=report, progress=True).fit(X)
    written = capsys.readouterr()
    assert "walking" in written.err
    assert not written.out
    assert [step for step, *_ in told] == list(range(1, model.n_iter_ + 1))
    assert told[-1][2] == 0
    assert model.history_.shape == (model.n_iter_ + 1, *X.shape)
    frame, z = model._frame, model._data
    assert len(cells(z, frame.edge(z))[0]) == len(z)  # no walks are joined before the first step
    rounding = frame.rounding(z) * frame.unit  # of a coordinate: twice the unit roundoff of the largest
    assert (np.abs(model.history_[0] - X) <= rounding).all()
    contract, call = registry.contract("meanshift_step"), {"data": z, "dtype": str(z.dtype)}
    expected = frame.leave(contract.reference(z, frame.bandwidth, **call))
    bound = contract.bound(z, frame.bandwidth, **call, precision="truncated") * frame.unit
    # The step is subtracted from its point, and added to it again: up to three roundings of twice the largest coordinate.
    assert (np.abs(model.history_[1] - expected) <= bound + 3 * rounding).all()
    for place, (_, points, _) in zip(model.history_[1:], told, strict=True):
        np.testing.assert_array_equal(place, points)


def test_those_at_rest_are_not_computed(monkeypatch):
    asked, get = [], registry.get

    def counting(*names):
        step = get(*names)
        return lambda x, *rest, **more: asked.append(len(x)) or step(x, *rest, **more)

    monkeypatch.setattr(registry, "get", counting)
    MeanShift(bandwidth=2.5).fit(lecture()[0])
    assert asked[-1] < asked[0] / 10
    assert asked == sorted(asked, reverse=True)


def test_two_values_are_clustered_in_one_step():
    """The data of scikit-learn's issue 28926."""
    X = np.repeat([[1.0], [2.0]], 100, axis=0)
    model = MeanShift().fit(X)
    np.testing.assert_array_equal(renamed(model.labels_), np.repeat([0, 1], 100))
    assert MeanShift(bandwidth=0.1).fit(X).n_iter_ == 1


# What changes no label


@st.composite
def clusters(draw):
    """Draw up to five clusters on a coarse lattice, with points around that are farther from each border than from rounding."""
    d = draw(st.integers(1, 3))
    places = draw(st.lists(st.tuples(*[st.integers(-3, 3)] * d), min_size=1, max_size=5, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = draw(st.lists(st.integers(1, 12), min_size=len(places), max_size=len(places)))
    return np.concatenate([np.array(p) * 8.0 + rng.uniform(-1, 1, (n, d)) for p, n in zip(places, counts, strict=True)])


@FAST
@given(X=clusters(), kernel=st.sampled_from(KERNELS), seeding=st.sampled_from(["points", "grid"]), data=st.data())
def test_labels_do_not_change_with_place_order_or_right_angles(X, kernel, seeding, data):
    model = MeanShift(bandwidth=1.5 if kernel == "gaussian" else 4.0, kernel=kernel, seeding=seeding)
    expected = renamed(model.fit_predict(X))
    away = data.draw(st.sampled_from([1.0, -7.3, 1e3, -1e6]))
    np.testing.assert_array_equal(renamed(model.fit_predict(X + away)), expected)
    order = np.random.default_rng(len(X)).permutation(len(X))
    np.testing.assert_array_equal(renamed(model.fit_predict(X[order])), renamed(expected[order]))
    axes = data.draw(st.permutations(range(X.shape[1])))
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=X.shape[1], max_size=X.shape[1]))
    np.testing.assert_array_equal(renamed(model.fit_predict(X[:, axes] * signs)), expected)


@FAST
@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([1e-12, 1e-3, 0.7]))
def test_points_share_a_cell_exactly_if_all_their_coordinates_do(d, seed, edge):
    z = np.random.default_rng(seed).integers(-3, 4, (40, d)) * 0.5
    first, cell = cells(z, edge)
    same = (np.floor(z[:, None] / edge) == np.floor(z / edge)).all(axis=-1)
    np.testing.assert_array_equal(cell[:, None] == cell, same)
    np.testing.assert_array_equal(cell[first], np.arange(len(first)))


def test_a_walk_that_shrinks_by_half_has_two_steps_to_go():
    assert steps_ahead(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0]])).tolist() == [2]
    assert steps_ahead(np.zeros((1, 2)), np.ones((1, 2))).tolist() == [1]  # a first step
    assert steps_ahead(np.ones((1, 2)), -np.ones((1, 2))).tolist() == [64]  # one that grows


# What people bring


def test_tensors_and_lists_are_taken():
    X = lecture(300)[0]
    expected = MeanShift(bandwidth=2.5).fit_predict(X)
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(MeanShift(bandwidth=2.5).fit_predict(torch.asarray(X)), expected)
    np.testing.assert_array_equal(MeanShift(bandwidth=2.5).fit_predict(X.tolist()), expected)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_table_keeps_the_names_of_its_columns(library):
    frames = pytest.importorskip(library)
    X = lecture(300)[0]
    table = frames.DataFrame({"width": X[:, 0], "height": X[:, 1]})
    model = MeanShift(bandwidth=2.5).fit(table)
    np.testing.assert_array_equal(model.labels_, MeanShift(bandwidth=2.5).fit_predict(X))
    assert model.feature_names_in_.tolist() == ["width", "height"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["height", "width"]])


@pytest.mark.parametrize("variant", ["loop", "numpy", "definition"])
def test_any_variant_takes_the_steps(variant):
    if variant not in [v.name for v in registry.variants("meanshift_step")]:
        with pytest.raises(registry.UnknownVariant, match="no variant 'numpy'"):
            MeanShift(variant=variant).fit([[0.0], [1.0]])
        return
    X = lecture(60)[0]
    np.testing.assert_array_equal(
        MeanShift(bandwidth=4.0, variant=variant).fit_predict(X), MeanShift(bandwidth=4.0).fit_predict(X)
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("blurring", [False, True])
@pytest.mark.parametrize(
    ("X", "bandwidth", "clusters"),
    [
        (np.ones((1, 2)), None, 1),
        (np.ones((1, 2)), 1.0, 1),
        (np.full((30, 3), 7.1), None, 1),
        (np.full((30, 3), 7.1), 0.5, 1),
        (10 * np.eye(4, 50), 0.5, 4),  # more features than points
        (np.arange(40.0).reshape(20, 2), 1e-30, 20),
        (np.arange(40.0).reshape(20, 2), 1e30, 1),
        (np.arange(20.0)[:, None] * 1e5 + 1e8, 100.0, 20),  # far from the origin
    ],
)
def test_extremes_have_a_result(X, bandwidth, clusters, kernel, dtype, blurring):
    model = MeanShift(bandwidth=bandwidth, kernel=kernel, blurring=blurring).fit(X.astype(dtype))
    assert len(model.cluster_centers_) == len(set(model.labels_)) == clusters
    assert np.isfinite(model.cluster_centers_).all()
    assert model.n_iter_ <= 3


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        ([[0.0], [1.0]], {"bandwidth": 0}, r"'bandwidth' parameter of MeanShift must be a float in the range \(0.0, inf\)"),
        ([[0.0], [1.0]], {"bandwidth": np.inf}, "bandwidth"),
        ([[0.0], [1.0]], {"bandwidth": np.nan}, "bandwidth"),
        ([[0.0], [1.0]], {"bandwidth": 1e-320}, "bandwidth 1e-320 is too small beside the width of the data, 1"),
        ([[0.0], [np.nan]], {}, "Input X contains NaN"),
        ([[0.0], [np.inf]], {}, "Input X contains infinity"),
        ([["a"], ["b"]], {}, "could not convert string to float"),
        (np.empty((0, 2)), {}, r"Found array with 0 sample\(s\)"),
        ([[0.0], [1.0]], {"kernel": "cosine"}, "'kernel' parameter of MeanShift"),
        ([[0.0], [1.0]], {"max_iter": 0}, "'max_iter' parameter"),
        ([[0.0], [1.0]], {"seeding": [[0.0, 1.0]]}, "seeding has 2 features, but X has 1"),
        ([[0.0], [1.0]], {"seeding": "grid", "blurring": True}, "seeding must be 'points'"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_a_line(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        MeanShift(**parameters).fit(X)


def test_without_scikit_learn_the_message_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None\nimport registry\nimport kernels.cluster"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    wanted = "kernels.cluster needs the package sklearn, which is not installed (pip install scikit-learn)"
    assert wanted in done.stderr.splitlines()[-1]


def test_only_this_file_imports_scikit_learn():
    code = "import sys, registry, numpy as np; registry.get('meanshift_step')(np.eye(2), 1.0); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
