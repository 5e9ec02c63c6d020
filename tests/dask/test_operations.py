"""Each operation that takes dask arrays: nothing runs while its graph is built, blocks of every library, sizes of the graph."""

import math

import numpy as np
import pytest
from within import hold

import registry
from kernels._definition.examples import derived_example

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
from dask.core import get_dependencies  # noqa: E402

from kernels._dask.blocks import added, gathered  # noqa: E402
from kernels._dask.trees import FAN  # noqa: E402

# Each of these ways has a graph of its own.
WAYS = {"meanshift_step": [{"method": "tiles"}, {"method": "ring"}, {"kernel": "flat"}]}
OPERATIONS = [op for op in registry.operations() if any(variant.arrays == "dask" for variant in registry.variants(op))]
each_operation = pytest.mark.parametrize("operation", OPERATIONS)
each_way = pytest.mark.parametrize(
    ("operation", "way"),
    [pytest.param(op, way, id="-".join([op, *way.values()])) for op in OPERATIONS for way in WAYS.get(op, [{}])],
)


def example(operation, convert, **more):
    """Return the arguments of a call whose extents are all 3, of which `convert` has made the arrays into others."""
    made = derived_example(registry.contract(operation).signature, 3, dtype="float64")

    def converted(each):
        return convert(each) if isinstance(each, np.ndarray) else each

    return list(map(converted, made.args)), {key: converted(each) for key, each in (made.kwargs | more).items()}


def in_blocks(array):
    return da.from_array(array, chunks=2)


@each_way
def test_nothing_runs_while_a_graph_is_built(operation, way):
    def refuse(*_, **__):
        raise AssertionError("a task runs before anybody asked for it")

    with dask.config.set(scheduler=refuse):
        args, kwargs = example(operation, in_blocks, **way)
        assert registry.explain(operation, *args, **kwargs).chosen.name == "dask"
        lazy = registry.get(operation)(*args, **kwargs)
        with pytest.raises(AssertionError, match="a task runs"):
            lazy.compute()


@each_way
def test_the_meta_is_right_for_blocks_of_numpy(operation, way):
    args, kwargs = example(operation, in_blocks, **way)
    lazy = registry.get(operation)(*args, **kwargs)
    for block in lazy.to_delayed().ravel():
        computed = block.compute(scheduler="synchronous")
        assert (lazy._meta.dtype, lazy._meta.ndim, type(lazy._meta)) == (computed.dtype, computed.ndim, np.ndarray)
    assert lazy.compute(scheduler="synchronous").shape == lazy.shape


@each_way
def test_blocks_of_tensors_become_tensors(operation, way):
    """As blocks of CuPy would become CuPy's, for which no device is here."""
    torch = pytest.importorskip("torch")

    cut = []

    def in_rows(array):  # the first; the others are whole, since dask itself cuts no tensors anew
        cut.append(array)
        return da.from_array(array, chunks=(2, *array.shape[1:]) if len(cut) == 1 and array.ndim > 1 else -1)

    def in_tensors(array):
        meta = torch.empty((0,) * array.ndim, dtype=torch.float64)
        return in_rows(array).map_blocks(torch.asarray, dtype=meta.dtype, meta=meta)

    args, kwargs = example(operation, in_tensors, **way)
    lazy = registry.get(operation)(*args, **kwargs)
    assert isinstance(lazy._meta, torch.Tensor)
    block = lazy.to_delayed().ravel()[0].compute(scheduler="synchronous")
    assert (type(block), block.dtype, block.ndim) == (torch.Tensor, lazy.dtype, lazy.ndim)
    whole = lazy.map_blocks(np.asarray, dtype=bool if lazy.dtype == torch.bool else float, meta=np.empty((0,) * lazy.ndim))
    args, kwargs = example(operation, np.asarray, **{key: value for key, value in way.items() if key != "method"})
    hold(operation, whole.compute(scheduler="synchronous"), *args, **kwargs)


def test_blocks_of_tensors_that_must_be_cut_anew_are_refused_with_what_to_do():
    torch = pytest.importorskip("torch")
    x = da.ones((4, 4), chunks=2).map_blocks(torch.asarray, dtype=torch.float64, meta=torch.empty((0, 0), dtype=torch.float64))
    with pytest.raises(TypeError, match=r"Tensor blocks: expected chunks \(\(2, 2\), \(4,\)\), got .*rechunk before"):
        registry.get("softmax")(x)


@each_operation
def test_unknown_chunks_are_refused(operation):
    def unknown(array):
        rows = in_blocks(array)
        return rows[rows[(slice(None), *(0,) * (array.ndim - 1))] > -10]

    args, kwargs = example(operation, unknown)
    with pytest.raises(ValueError, match=rf"^{operation}: argument \w+: .*compute_chunk_sizes\(\)"):
        registry.get(operation)(*args, **kwargs)


@each_operation
def test_a_numpy_array_beside_dask_arrays_is_in_the_graph_once(operation):
    args, kwargs = example(operation, np.asarray)
    first, *others = [each for each in args if isinstance(each, np.ndarray)]
    lazy = registry.get(operation)(in_blocks(first), *args[1:], **kwargs)
    held = [task for task in dict(lazy.__dask_graph__()).values() if "array(" in repr(task)]
    assert len(held) == in_blocks(first).npartitions + len(others)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 17, 65])
def test_products_are_added_as_a_tree(count):
    a, b = da.ones((3, count), chunks=(3, 1)), da.ones((count, 2), chunks=(1, 2))
    product = registry.get("matmul")(a, b)
    graph = dict(product.__dask_graph__())
    waits = {key: get_dependencies(graph, key) for key in graph}
    sums = [key for key in graph if str(key[0] if isinstance(key, tuple) else key).startswith("gathered")]
    assert all(len(waits[key]) <= FAN for key in sums)

    def depth(key):
        below = [depth(each) for each in waits[key]]
        return max(below, default=0) + (key in sums)

    (last,) = product.__dask_keys__()[0]
    assert depth(last) == max(1, math.ceil(math.log(count, FAN) - 1e-9))
    assert (product.compute(scheduler="synchronous") == count).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_blocks_are_gathered_along_any_axis(axis):
    x = np.random.default_rng(axis).integers(0, 9, (7, 7, 7))
    parts = da.from_array(x, chunks=tuple(1 if i == axis else 3 for i in range(3)))
    total = gathered(parts, axis, added)
    assert total.chunks == parts.chunks[:axis] + parts.chunks[axis + 1 :]
    for index, block in np.ndenumerate(total.to_delayed()):
        rows = [slice(3 * i, 3 * i + 3) for i in index]
        own = block.compute(scheduler="synchronous")
        assert (own.squeeze(axis) == x.sum(axis=axis)[tuple(rows)]).all()


@pytest.mark.parametrize("kernel", ["gaussian", "triangular"])
def test_more_points_than_numpy_could_count_pairs_of(kernel):
    x = da.zeros((10**12, 2), chunks=(10**11, 2))
    assert registry.get("meanshift_step")(x, 1.0, kernel=kernel).shape == x.shape
