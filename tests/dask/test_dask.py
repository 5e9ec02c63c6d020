"""dask arrays through dispatch: nothing is computed before it is asked for, what is refused, and kernels held to their bounds."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from within import hold

import registry
from kernels import _conformance
from kernels._conformance.implementation import Implementation
from kernels.meanshift_step import KERNELS

da = pytest.importorskip("dask.array")
import dask  # noqa: E402

step = registry.get("meanshift_step")
on_dask = [variant for op in registry.operations() for variant in registry.variants(op) if variant.arrays == "dask"]

# What chunks do not touch; tests/conformance asks it of each variant.
WHATEVER_THE_CHUNKS = {
    "keeps_nothing_of_the_call_before", "leaves_its_arguments_alone", "leaves_the_process_as_it_was", "reads_every_layout",
    "refuses_what_the_contract_refuses", "sees_fresh_contents", "serves_eight_threads", "stays_within_what_it_allocates",
    "takes_arrays_that_share_memory",
}  # fmt: skip
EXAMPLES = 12


def in_pieces(array):
    """Return a dask array of ragged chunks, empty ones and ones of one row among them, which are the same for the same shape."""
    ragged = np.random.default_rng(array.shape)
    ends = [np.sort(ragged.integers(0, extent + 1, 2)) for extent in array.shape]
    return da.from_array(
        array, chunks=tuple(tuple(np.diff([0, *end, n]).tolist()) for end, n in zip(ends, array.shape, strict=True))
    )


def cut_up(variant, **options):
    """Put a variant on trial with ragged chunks of NumPy arrays."""
    call = registry.get(variant.operation, variant.name)

    def function(**arguments):
        made = {id(each): in_pieces(each) for each in arguments.values() if isinstance(each, np.ndarray)}
        lazy = call(**{key: made.get(id(each), each) for key, each in arguments.items()}, **options)
        return lazy.compute(scheduler="synchronous")

    named = [v for v in registry.variants(variant.operation) if v.name == options.get("method")]
    inside = named[0] if named else variant  # a method called as a variant takes what that one takes
    return Implementation(
        variant.operation,
        registry.contract(variant.operation),
        function,
        inside.dtypes,
        variant.precision,
        limits=inside.limits | variant.limits,
    )


def on_trial():
    for variant in on_dask:
        methods = [{"method": method} for method in ("auto", "ring", "fast_gauss")]
        for options in methods if variant.operation == "meanshift_step" else [{}]:
            for property_ in _conformance.all_properties(registry.contract(variant.operation)):
                if property_.__name__ in WHATEVER_THE_CHUNKS:
                    continue
                name = "-".join([variant.operation, *options.values(), property_.__name__])
                yield pytest.param(variant, options, property_, id=name)


# dask warns where many small chunks cost time; those are what is tried here, and nothing else that it warns of is let pass.
@pytest.mark.filterwarnings("ignore:Increasing number of chunks:dask.array.core.PerformanceWarning")
@pytest.mark.parametrize(("variant", "options", "property_"), list(on_trial()))
def test_ragged_chunks_are_within_the_same_bounds(variant, options, property_):
    _conformance.run(property_, cut_up(variant, **options), min(EXAMPLES, settings.default.max_examples))


class Counted:
    """What dask can take blocks of, which counts those that were taken."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim, self.taken = array, array.shape, array.dtype, array.ndim, 0

    def __getitem__(self, index):
        self.taken += 1
        return self.array[index]


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_is_computed_until_asked_for(kernel):
    x = np.random.default_rng(0).standard_normal((1200, 2)).astype(np.float32)
    x = Counted(x)  # of NumPy arrays of this size the contents are looked at
    points = da.from_array(x, chunks=(400, 2), asarray=False)
    methods = ["tiles", "ring", *["fast_gauss"] * (kernel == "gaussian" and not registry.missing("numba"))]
    for method in methods:
        before = x.taken
        assert registry.explain("meanshift_step", points, 0.5, kernel=kernel, method=method).chosen.name == "dask"
        moved = step(points, 0.5, kernel=kernel, method=method)
        step(moved, 0.5, kernel=kernel, method=method)
        assert (type(moved), moved.shape, moved.dtype, moved.chunks) == (da.Array, x.shape, x.dtype, points.chunks)
        assert type(moved._meta) is np.ndarray
        assert x.taken == before
        moved.compute()
        assert x.taken > before


def test_other_variants_are_not_for_dask_arrays_nor_dask_for_others():
    x = np.ones((4, 2))
    assert registry.explain("meanshift_step", x, 1.0).chosen.name != "dask"
    assert registry.explain("meanshift_step", da.from_array(x), 1.0).chosen.name == "dask"
    with pytest.raises(TypeError, match="'loop' takes no dask arrays; compute"):
        registry.get("meanshift_step", "loop")(da.from_array(x), 1.0)
    with pytest.raises(TypeError, match="no variant for 'auto' can take this call"):
        registry.get("difference_map")(da.ones((1, 1, 4, 2)), da.ones((1, 1, 4, 2)))


def test_blocks_are_computed_by_no_weaker_class_than_is_promised():
    moved = [step(da.ones((6, 2), chunks=chunks), 1.0, selector="expansion") for chunks in (6, 3)]
    for each in moved:
        with pytest.raises(ValueError, match="promises the class 'expansion', weaker than 'truncated'"):
            each.compute()


@pytest.mark.parametrize("method", ["tiles", "ring"])
def test_weights_are_looked_at_by_tasks_alone(method):
    x, seen = da.ones((6, 2), chunks=(2, 1)), Counted(np.array([1.0, -1.0, 1.0, 0.0, 0.0, 0.0]))
    weights = da.from_array(seen, chunks=3, asarray=False)
    before = seen.taken
    moved = step(x, 1.0, weights=weights, method=method)
    assert seen.taken == before
    with pytest.raises(ValueError, match=r"^meanshift_step: argument weights: expected finite numbers of at least 0"):
        moved.compute()


def test_values_are_looked_at_for_an_operation_of_another_catalogue(tmp_path):
    text = (
        'from __future__ import annotations\nFINITE = ("x",)\n\n\ndef halve(x: Float[Array, "n d"]) -> Float[Array, "n d"]: ...\n'
    )
    (tmp_path / "halve").mkdir()
    (tmp_path / "halve" / "__init__.py").write_text(text)
    zoo = registry.Zoo(tmp_path)
    zoo.register("halve", "blocks", arrays="dask")(lambda x: x / 2)
    result = zoo.get("halve")(da.from_array(np.full((4, 2), np.nan), chunks=2))
    with pytest.raises(ValueError, match=r"^halve: argument x: expected finite entries"):
        result.compute()


def test_a_numpy_array_with_functions_of_its_own_is_refused_beside_dask_arrays():
    class Tagged(np.ndarray):
        def __array_function__(self, *call):
            return NotImplemented

    data = np.ones((3, 2)).view(Tagged)
    with pytest.raises(TypeError, match="argument data: expected a plain array, got Tagged"):
        step(da.ones((4, 2), chunks=2), 1.0, data=data)


def test_unknown_chunks_are_refused_with_what_mends_it():
    x = da.from_array(np.arange(8.0).reshape(4, 2), chunks=2)
    with pytest.raises(ValueError, match=r"meanshift_step: argument x: .* call x\.compute_chunk_sizes\(\)"):
        step(x[x[:, 0] > 1], 1.0)


def test_shapes_and_dtypes_are_refused_at_once_and_values_by_the_task():
    x = da.from_array(np.array([[1.0, 2.0], [3.0, np.nan]]), chunks=1)
    with pytest.raises(ValueError, match="argument data: expected shape"):
        step(x, 1.0, data=da.ones((3, 3)))
    with pytest.raises(TypeError, match="argument data: expected dtype float64"):
        step(x, 1.0, data=np.ones((3, 2), np.float32))
    moved = [step(x, 1.0, method=method) for method in ("tiles", "ring")]  # lazily: nobody has looked at the entries
    for each in moved:
        with pytest.raises(ValueError, match=r"^meanshift_step: argument x: expected finite entries"):
            each.compute()
    for points, asked in ((da.ones((3, 4)), "tiles"), (x, "fast_gauss"), (x, "halos")):
        with pytest.raises(ValueError, match=f"argument method: expected auto, ring, tiles .* or fast_gauss .*, got '{asked}'"):
            step(points, 1.0, method=asked)


@pytest.mark.parametrize("kernel", KERNELS)
def test_numpy_data_beside_dask_points(kernel):
    rng = np.random.default_rng(0)
    x, data = rng.standard_normal((50, 2)), rng.standard_normal((40, 2))
    points = da.from_array(x, chunks=(7, 1))
    moved = step(points, 0.5, data=data, kernel=kernel)
    held = [task for task in dict(moved.__dask_graph__()).values() if "array(" in repr(task)]
    assert len(held) == points.npartitions + 1  # the data are one entry of the graph, whatever the number of tasks
    hold("meanshift_step", moved.compute(), x, 0.5, data=data, kernel=kernel)


@pytest.mark.parametrize("kernel", ["gaussian", "flat"])
def test_the_graph_grows_with_tiles_and_has_few_tasks_for_each(kernel):
    def tasks(tiles):
        moved = step(da.zeros((4 * tiles, 3), chunks=(4, 3)), 1.0, kernel=kernel)
        return len(dict(moved.__dask_graph__()))

    few, *counts = [tasks(tiles) for tiles in (8, 10, 20, 40)]
    assert few <= 30 * 8
    assert counts[2] <= 30 * 40
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_half_of_all_points_in_one_cell_are_shared_among_the_tiles(kernel, monkeypatch):
    from kernels.meanshift_step import _dask_tiles

    rng = np.random.default_rng(0)
    x = rng.uniform(-50, 50, (8000, 2))
    x[::2] = rng.uniform(0, 1, (4000, 2))
    x[::8] = 0.5  # and some in one place, which no cut parts
    sizes = []
    seen = _dask_tiles.move

    def move(*args, **kwargs):
        sizes.append(args[4].counts[:, 0].sum())
        return seen(*args, **kwargs)

    monkeypatch.setattr(_dask_tiles, "move", move)
    moved = step(da.from_array(x, chunks=(500, 2)), 1.0, kernel=kernel).compute(scheduler="synchronous")
    assert sum(sizes) == len(x)
    assert max(sizes) <= 2 * len(x) / 16
    hold("meanshift_step", moved, x, 1.0, kernel=kernel, rows=100)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(0, 60), st.integers(1, 3)),
    tiles=st.integers(1, 9),
    reach=st.sampled_from([-1.0, 0.0, 0.3, 2.0, np.inf]),
)
def test_points_go_to_the_same_tiles_compiled_or_not(seed, shape, tiles, reach):
    pytest.importorskip("numba")
    torch = pytest.importorskip("torch")
    from kernels.meanshift_step import _dask_tiles

    points = np.random.default_rng(seed).integers(0, 4, shape) / 2  # many of them in one place, or on a cut
    nodes = _dask_tiles.leaves_of(_dask_tiles.sample(1.0, points, (0, 0)), tiles)
    ways = [_dask_tiles.places(array, 0, tiles, nodes, reach) for array in (points, torch.from_numpy(points))]
    for rows, others in zip(*ways, strict=True):
        assert rows.tolist() == others.tolist()
    inside, beside, counts = ways[0]
    assert sorted(inside) == list(range(len(points)))
    assert counts.sum(axis=1).tolist() == [len(inside), len(beside)]
    ends = _dask_tiles.ends_of(counts)
    for t in range(tiles):  # all that are within reach of a point of the tile have been sent to it
        own = inside[ends[0, t] : ends[0, t + 1]]
        near = np.linalg.norm(points[:, None] - points[own], axis=-1).min(axis=1, initial=np.inf) <= reach
        assert set(np.flatnonzero(near)) <= {*own, *beside[ends[1, t] : ends[1, t + 1]]}


@pytest.mark.parametrize(("kernel", "bandwidth", "parts"), [("triangular", 1e-2, 4), ("gaussian", 1e-2, 2), ("flat", 1.0, 1)])
def test_a_tile_is_moved_in_parts_of_space_where_little_is_beside_them(kernel, bandwidth, parts, monkeypatch):
    from kernels.meanshift_step import _dask_tiles

    monkeypatch.setattr(_dask_tiles, "PART", 200)
    x = np.random.default_rng(0).random((3200, 2))
    sizes, moved_by_best = [], _dask_tiles.moved_by_best

    def moved(points, data, *arguments):
        sizes.append((len(points), len(data)))
        assert points.tobytes() == data[: len(points)].tobytes()
        return moved_by_best(points, data, *arguments)

    monkeypatch.setattr(_dask_tiles, "moved_by_best", moved)
    y = step(da.from_array(x, chunks=(800, 2)), bandwidth, kernel=kernel).compute(scheduler="synchronous")
    assert len(sizes) == 4 * parts
    assert sum(own for own, _ in sizes) == len(x)
    assert parts == 1 or sum(near for _, near in sizes) < 2.2 * len(x)
    hold("meanshift_step", y, x, bandwidth, kernel=kernel, rows=400)


def test_a_crowded_gaussian_s_tile_is_one_part():
    pytest.importorskip("numba")
    from kernels.meanshift_step import _dask_tiles

    sample = _dask_tiles.sample(1.0, np.random.default_rng(0).random((1000, 2)), (0, 0))
    reach = _dask_tiles.reach_of("gaussian", 0.005, 2.0**-24)
    given = [(10**7, 0.005), (10**5, 0.005), (10**7, None)]
    assert [_dask_tiles.cut(2, 8, reach, *each, "", [sample]).parts for each in given] == [1, 8, 8]


def test_the_tree_is_cut_once_whatever_the_number_of_blocks(monkeypatch):
    from kernels.meanshift_step import _dask_tiles

    calls, cut = [], _dask_tiles.cut
    monkeypatch.setattr(_dask_tiles, "cut", lambda *args: calls.append(args) or cut(*args))
    step(da.random.default_rng(0).random((40, 2), chunks=(5, 2)), 0.1, kernel="flat").compute(scheduler="synchronous")
    assert len(calls) == 1


def test_what_a_gaussian_s_reach_leaves_out_is_within_its_class():
    from kernels.meanshift_step._dask_tiles import reach_of

    for unit in (2.0**-24, 2.0**-53):
        c = reach_of("gaussian", 1.0, unit)
        assert math.exp(-c * c / 2) * 3 * c <= unit / 2
        assert c < 1.1 * math.sqrt(-2 * math.log(unit)) + 1
    assert 1 < reach_of("flat", 1.0, 2.0**-24) < 1.01


def test_a_tile_beyond_a_worker_s_memory_is_named_before_anything_is_sent(monkeypatch):
    from kernels.meanshift_step import _dask_tiles

    monkeypatch.setattr(_dask_tiles, "memory_limit", lambda: 2**18)
    x = da.random.default_rng(0).random((4000, 2), chunks=(1000, 2))
    with pytest.raises(MemoryError, match=r"meanshift_step: tile \d of 4: .* points within its reach .*smaller bandwidth"):
        step(x, 0.5).compute(scheduler="synchronous")
    assert dask.compute(step(x, 1e-4))  # little is within reach


@pytest.mark.parametrize(
    ("kernel", "dtype", "serves"), [("gaussian", "f4", True), ("gaussian", "f8", False), ("flat", "f4", False)]
)
def test_want_of_memory_names_fast_gauss_only_where_it_serves(kernel, dtype, serves, monkeypatch):
    pytest.importorskip("numba")
    from kernels.meanshift_step import _dask_tiles

    monkeypatch.setattr(_dask_tiles, "memory_limit", lambda: 2**18)
    x = da.random.default_rng(0).random((4000, 2), chunks=(1000, 2)).astype(dtype)
    with pytest.raises(MemoryError) as error:
        step(x, 2.0, kernel=kernel).compute(scheduler="synchronous")
    assert ("method='fast_gauss'" in str(error.value)) == ((kernel, dtype) == ("gaussian", "f4"))


def test_expansions_are_made_where_a_worker_has_the_memory(monkeypatch, measured, caplog):
    pytest.importorskip("numba")
    from kernels.meanshift_step import _dask_tiles

    x = da.random.default_rng(0).random((40_000, 2), chunks=(10_000, 2)).astype("float32")
    for limit, expands in ((2**30, True), (2**22, False)):
        monkeypatch.setattr(_dask_tiles, "memory_limit", lambda limit=limit: limit)
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "kernel_zoo"):
            step(x, 0.015).compute(scheduler="synchronous")
        assert ("fast_gauss serves" in caplog.text) == expands


@pytest.mark.parametrize("method", ["tiles", "ring"])
def test_out_of_memory_in_a_task_names_the_tile(monkeypatch, method):
    from kernels.meanshift_step import _partial

    def get(*_, **__):
        raise MemoryError("unable to allocate")

    x = da.random.default_rng(0).random((40, 2), chunks=(10, 2))
    moved = step(x, 0.5, method=method)
    monkeypatch.setattr(registry, "get", lambda *_, **__: get)
    monkeypatch.setattr(_partial, "added", get)
    with pytest.raises(MemoryError, match=r"meanshift_step: (tile|block) \d of 4.*unable to allocate.*rechunk"):
        moved.compute(scheduler="synchronous")
