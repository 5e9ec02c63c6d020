"""The estimator MeanShift of dask arrays: the clusters of the same points in one process, and what stays where it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from kernels.cluster import KERNELS, MeanShift, estimate_bandwidth

da = pytest.importorskip("dask.array")
import dask  # noqa: E402

from kernels import _walks_dask  # noqa: E402

FAST = settings(max_examples=min(12, settings.default.max_examples))


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def renamed(labels):
    """Return labels numbered in the order of their first points: equal for equal partitions."""
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label]


def blobs(seed, d=2, dtype=float):
    """Return a few clusters in a random order, which lie farther apart than their width and than any kernel's reach."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.stack(np.meshgrid(*[np.arange(-1, 2)] * d), axis=-1).reshape(-1, d))[: rng.integers(1, 4)]
    x = np.concatenate([20.0 * place + rng.uniform(-1, 1, (rng.integers(1, 25), d)) for place in places])
    return rng.permutation(x).astype(dtype)


def in_pieces(x, seed):
    """Return a dask array of ragged chunks, empty ones and ones of one row among them."""
    ends = np.sort(np.random.default_rng(seed).integers(0, len(x) + 1, 4))
    return da.from_array(x, chunks=(tuple(np.diff([0, *ends, len(x)]).tolist()), (1,) * x.shape[1]))


def assert_at_rest(model, X):
    """Hold the modes to what `tol` says of the end of a walk: its step among these data is no longer than tol bandwidths."""
    ends, h = model.cluster_centers_.astype(float), model.bandwidth_
    steps = registry.get("meanshift_step", "broadcast")(ends, h, data=X.astype(float), kernel=model.kernel) - ends
    allowed = model._frame.edge(model._frame.enter(X)) * model._frame.unit  # tol bandwidths, or some roundings
    assert (np.sqrt((steps**2).sum(axis=1)) <= 2 * allowed).all()  # the last step of a walk is followed by a shorter one


FORMS = [{}, {"labels": "nearest"}, {"blurring": True}, {"seeding": [[0.5, 0.5], [20.0, 0.0]], "cluster_all": False}]


@FAST
@given(
    seed=st.integers(0, 2**32 - 1),
    kernel=st.sampled_from(KERNELS),
    form=st.sampled_from(FORMS[:3]),
    d=st.integers(1, 3),
    dtype=st.sampled_from([np.float32, np.float64]),
    whole=st.booleans(),
)
def test_any_chunks_have_the_clusters_of_one_process(seed, kernel, form, d, dtype, whole):
    X = blobs(seed, d, dtype)
    alone = MeanShift(bandwidth=3.0, kernel=kernel, **form).fit(X)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_walks_dask, "_shares", lambda data: 2 if whole else None)
        model = MeanShift(bandwidth=3.0, kernel=kernel, **form).fit(in_pieces(X, seed))
    assert isinstance(model.labels_, da.Array)
    np.testing.assert_array_equal(renamed(model.labels_.compute()), renamed(alone.labels_))
    assert model.cluster_centers_.shape == alone.cluster_centers_.shape
    assert (type(model.cluster_centers_), model.cluster_centers_.dtype) == (np.ndarray, dtype)
    if not model.blurring:
        assert_at_rest(model, X)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_predictions_and_distances_are_those_of_one_process(form, whole, monkeypatch):
    monkeypatch.setattr(_walks_dask, "_shares", lambda data: 2 if whole else None)
    X = blobs(3)
    pieces, others = in_pieces(X, 3), np.concatenate([X[::3] + 0.1, [[500.0, 500.0]]])
    alone, model = MeanShift(bandwidth=3.0, **form).fit(X), MeanShift(bandwidth=3.0, **form).fit(pieces)
    np.testing.assert_array_equal(model.labels_.compute(), alone.labels_)
    if model.blurring:
        with pytest.raises(ValueError, match="after blurring of dask arrays, predict would search all the data"):
            model.predict(others)
    else:
        predicted = model.predict(others)
        assert isinstance(predicted, np.ndarray)
        np.testing.assert_array_equal(predicted, alone.predict(others))
        np.testing.assert_array_equal(model.predict(in_pieces(others, 1)).compute(), alone.predict(others))
    np.testing.assert_array_equal(alone.predict(in_pieces(others, 1)).compute(), alone.predict(others))
    np.testing.assert_array_equal(alone.transform(in_pieces(others, 1)).compute(), alone.transform(others))
    with pytest.raises(ValueError, match="X has 3 features, but MeanShift is expecting 2 features as input"):
        model.predict(da.zeros((4, 3)))


def test_what_needs_no_walk_is_computed_when_it_is_asked_for():
    model = MeanShift(bandwidth=3.0, labels="nearest").fit(in_pieces(blobs(0), 0))
    bad = da.from_array(np.array([[np.nan, 0.0]]))
    for lazy in (model.predict(bad), model.transform(bad)):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            lazy.compute()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_bandwidth_is_estimated_from_the_same_sample(seed):
    X = np.random.default_rng(seed).standard_normal((5000, 2))
    assert estimate_bandwidth(in_pieces(X, seed), random_state=seed) == estimate_bandwidth(X, random_state=seed)
    assert MeanShift(max_iter=1).fit(in_pieces(X, seed)).bandwidth_ == estimate_bandwidth(X)
    with pytest.raises(ValueError, match="a dask array's comes from a sample"):
        estimate_bandwidth(in_pieces(X, seed), n_samples=None)


def test_a_block_at_rest_is_moved_no_more(monkeypatch):
    slope = np.concatenate([np.linspace(0, 10, 200), np.full(300, 11.5)])[:, None]
    X = np.concatenate([np.full((100, 1), 500.0), slope])
    moved, get = [], registry.get

    def counting(*names, **how):
        step = get(*names, **how)
        return lambda z, *rest, **more: (moved.append(getattr(z, "chunks", None)), step(z, *rest, **more))[1]

    monkeypatch.setattr(_walks_dask, "_shares", lambda data: None)
    monkeypatch.setattr(registry, "get", counting)
    model = MeanShift(bandwidth=0.8, kernel="triangular").fit(da.from_array(X, chunks=(100, 1)))
    steps = [chunks[0] for chunks in moved if chunks]
    assert len(steps) == model.n_iter_ > 2
    assert len(steps[0]) == 6
    assert steps[0][0] == 1  # equal points go on as one
    assert all(len(rows) < 6 for rows in steps[1:])  # and are at rest after a step


def test_only_what_is_small_comes_to_the_client(monkeypatch):
    got, compute = [], dask.compute

    def counting(*args, **kwargs):
        results = compute(*args, **kwargs)
        got.extend(np.asarray(each).size for each in results)
        return results

    rng = np.random.default_rng(0)
    X = np.concatenate([rng.standard_normal((2000, 2)), 40 + rng.standard_normal((2000, 2))])
    monkeypatch.setattr(dask, "compute", counting)
    model = MeanShift(bandwidth=3.0).fit(da.from_array(X, chunks=(500, 2)))
    assert len(model.cluster_centers_) == 2
    assert max(got) < 100  # of 8000 coordinates


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        (da.ones((4, 2)), {"history": True}, "MeanShift: history does not go with dask arrays"),
        (da.ones((4, 2)), {"callback": print}, "MeanShift: callback does not go with dask arrays"),
        (da.ones((4, 2)), {"seeding": "grid"}, "MeanShift: seeding='grid' does not go with dask arrays"),
        (da.ones((4, 2)), {"seeding": [[0.0]]}, "seeding has 1 features, but X has 2"),
        (da.ones((4, 2)), {"kernel": "cosine"}, "'kernel' parameter of MeanShift"),
        (da.ones(4), {}, r"argument X: expected rows and columns, got a dask array of shape \(4,\)"),
        (da.ones((0, 2)), {}, r"Found array with 0 sample\(s\)"),
        (da.ones((4, 2))[da.ones(4) > 0], {}, r"its chunks have unknown sizes; call X\.compute_chunk_sizes\(\) first"),
        (da.from_array(np.array([[1.0], [np.nan]]), chunks=1), {}, "Input X contains NaN"),
        (da.from_array(np.array([[1.0], [np.inf]]), chunks=1), {"bandwidth": 1.0}, "Input X contains infinity"),
        (da.from_array(np.array([[0.0], [1.0]])), {"bandwidth": 1e-320}, "bandwidth 1e-320 is too small beside the width"),
        (da.zeros((4, 1)), {"seeding": [[9.0]], "kernel": "flat", "bandwidth": 1.0}, "No point was within bandwidth=1"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_a_line(X, parameters, message):
    with pytest.raises(ValueError, match=message) as refused:
        MeanShift(**parameters).fit(X)
    assert "\n" not in str(refused.value)


def test_weights_do_not_go_with_dask_arrays():
    with pytest.raises(ValueError, match="sample_weight does not go with dask arrays: leave it out, or give X as a NumPy array"):
        MeanShift().fit(da.ones((4, 2)), sample_weight=np.ones(4))


@pytest.mark.parametrize("X", [np.ones((9, 2)), np.repeat([[1.0], [2.0]], 5, axis=0), np.arange(12).reshape(6, 2)])
def test_extremes_have_the_result_of_one_process(X):
    model = MeanShift().fit(da.from_array(X, chunks=(2, 1)))
    alone = MeanShift().fit(X)
    np.testing.assert_array_equal(model.labels_.compute(), alone.labels_)
    np.testing.assert_array_equal(model.cluster_centers_, alone.cluster_centers_)


def test_blocks_are_cut_until_their_walks_are_a_task_s_share_of_a_worker(monkeypatch):
    distributed = pytest.importorskip("distributed")
    assert _walks_dask._workers() == (1, np.inf)
    X = in_pieces(blobs(4), 4)
    assert _walks_dask._small_enough(X).chunks[0] == X.chunks[0]
    walks = 10.5 * _walks_dask._walk_bytes(X)
    known = {
        "a": {"nthreads": 2, "memory_limit": (_walks_dask.PROCESS + 2 * walks) / _walks_dask.SHARE},
        "b": {"nthreads": 1, "memory_limit": 0},
    }

    class Client:
        def scheduler_info(self, n_workers):
            return {"workers": known}

    monkeypatch.setattr(distributed, "default_client", Client)
    assert _walks_dask._workers() == (3, pytest.approx(walks))
    cut = _walks_dask._small_enough(da.ones((95, 2), chunks=(70, 2)))
    assert cut.chunks[0] == (10,) * 7 + (8, 8, 9)
    known["b"]["memory_limit"] = _walks_dask.PROCESS
    with pytest.raises(
        MemoryError, match="MeanShift: a worker may take 320 MiB, of which its process alone takes about 320 MiB; give"
    ):
        MeanShift().fit(da.ones((4, 2)))


def test_more_ends_than_a_task_can_hold_are_refused(monkeypatch):
    monkeypatch.setattr(_walks_dask, "_workers", lambda: (1, 1000))
    monkeypatch.setattr(_walks_dask, "_shares", lambda data: 1)
    X = 9.0 * np.arange(130)[:, None]
    with pytest.raises(
        MemoryError, match=r"130 walks ended apart after 1 steps, more than a task can hold; take more steps \(max"
    ):
        MeanShift(bandwidth=1.0, kernel="flat", variant="broadcast").fit(da.from_array(X, chunks=50))
