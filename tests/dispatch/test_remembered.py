"""What the automatic choice remembers: a call that is served from it gives what a first call gives, and it does not grow."""

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neighbours import Machine, fresh_zoo

import registry
from kernels import _arrays
from kernels._dispatch import Operation, choosing, fast_path
from registry import Zoo


def chooser(operation, zoo=None):
    made = choosing.Chooser(Operation(zoo or registry.zoo(), operation), "auto", None)
    return made, made.callable()


def outcome(call, args, kwargs):
    """Return the bits that a call gives, or its error, and whether that comes without another that was met on the way."""
    try:
        result = call(*args, **kwargs)
    except (TypeError, ValueError) as error:
        return type(error), str(error), error.__context__ is None or error.__suppress_context__
    return result.dtype, result.shape, np.asarray(result).tobytes()


def as_tensors(args, kwargs):
    """Return the call with tensors for arrays, of the same memory where torch can; what was one array stays one."""
    torch = pytest.importorskip("torch")
    made = {}

    def brought(value):
        if not isinstance(value, np.ndarray):
            return value
        able = value.dtype.isnative and value.flags.writeable
        return made.setdefault(id(value), torch.from_numpy(value if able else value.astype(value.dtype.newbyteorder("="))))

    return tuple(map(brought, args)), {key: brought(value) for key, value in kwargs.items()}


@st.composite
def arrays(draw, *extents):
    dtype = draw(st.sampled_from([*["float32"] * 4, "float64", "int64", ">f4", "complex64"]))
    shape = tuple(draw(st.sampled_from([1, 2, 3])) if extent is None else extent for extent in extents)
    array = np.random.default_rng(0).integers(1, 9, shape).astype(dtype)
    if draw(st.integers(0, 9)) == 0 and array.size and array.dtype.kind == "f":
        array[0] = np.nan
    laid = draw(st.sampled_from(["C", "C", "F", "every second", "read-only"]))
    if laid == "every second":
        return np.repeat(array, 2, axis=0)[::2]
    array = np.array(array, order="F" if laid == "F" else "C")
    array.flags.writeable = laid != "read-only"
    return array


@st.composite
def steps(draw):
    x = draw(arrays(None, None))
    further = {
        "data": st.one_of(st.none(), st.just(x), arrays(None, x.shape[1]), arrays(2, None)),
        "weights": st.one_of(st.none(), arrays(x.shape[0]), arrays(2)),
        "kernel": st.sampled_from(["gaussian", "flat", "epanechnikov", "flatt"]),
        "check_finite": st.booleans(),
        "batch_size": st.sampled_from([1, 2]),
        "bandwidht": st.just(1.0),
    }
    return (x, draw(st.sampled_from([1.0, 2, -1.0, "1"]))), draw(st.fixed_dictionaries({}, optional=further))


@st.composite
def products(draw):
    batch = draw(st.sampled_from([(), (), (2,), (1,), (2, 3)]))
    others = draw(st.sampled_from([batch, batch, (2,), ()]))
    k = draw(st.sampled_from([1, 2]))
    return (draw(arrays(*batch, None, k)), draw(arrays(*others, draw(st.sampled_from([k, 2])), None))), {}


def torch_zoo():
    """Return a catalogue where a kernel of tensors comes first."""
    zoo = fresh_zoo()

    @zoo.register(
        "matmul", "strict", arrays="torch", requires=("torch",), dtypes=("float32", "complex64"), rank=1000, batches=True
    )
    def strict(a, b):
        return (a @ b).contiguous()

    return zoo


def strict_zoo():
    """Return a catalogue where a kernel that trusts dispatch with its arguments comes first."""
    zoo = fresh_zoo()

    @zoo.register("matmul", "strict", rank=1000, layout="C", batches=True)
    def strict(a, b):
        assert a.flags.carray
        assert b.flags.carray
        assert a.shape[-1] == b.shape[-2]
        return np.matmul(a, b)

    return zoo


@pytest.mark.parametrize("brought", [lambda *given: given, as_tensors], ids=["arrays", "tensors"])
@pytest.mark.parametrize(
    ("operation", "strategy", "zoo"),
    [("meanshift_step", steps(), None), ("matmul", products(), strict_zoo()), ("matmul", products(), torch_zoo())],
)
def test_a_call_of_a_remembered_kind_gives_what_a_first_call_gives(operation, strategy, zoo, brought, measured):
    made, warm = chooser(operation, zoo)

    @settings(max_examples=4 * settings().max_examples)
    @given(strategy)
    def check(given):
        given = brought(*given)
        first = chooser(operation, zoo)[1]
        expected = outcome(first, *given)
        assert expected[2] is not False
        assert [outcome(call, *given) for call in (warm, warm, first)] == [expected] * 3

    check()
    assert made.count  # some were remembered


def leaves(known):
    return sum(map(leaves, known.values())) if isinstance(known, dict) else 1


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(choosing, "MOST", 3)
    made, product = chooser("matmul", fresh_zoo())
    for n in range(1, 9):
        assert product(np.ones((1, n)), np.ones((n, 1))) == n
        assert 1 <= leaves(made.known) <= 2 * 3  # by buckets of extents, and by exact shapes


def test_few_shapes_of_a_bucket_are_remembered(monkeypatch):
    monkeypatch.setattr(fast_path, "MOST", 2)
    made, product = chooser("matmul", fresh_zoo())
    for n in range(1024, 1040):
        for _ in range(3):
            assert product(np.ones((1, n)), np.ones((n, 1))) == n
        assert 1 < leaves(made.known) <= 1 + 2 * 2


@pytest.mark.parametrize(
    "further", [{}, {"kernel": "flat"}, {"weights": 1}, {"data": 1, "kernel": "flat"}, {"check_finite": False}]
)
def test_what_a_call_says_by_keyword_leaves_it_ordinary(further, monkeypatch):
    x, slow = np.ones((3, 2), np.float32), []
    given = {key: {"weights": x[:, 0].copy(), "data": x.copy()}.get(key, value) for key, value in further.items()}
    step = registry.get("meanshift_step")
    for _ in range(2):  # the first call of all imports the file of the variant that it chooses
        step(x, 1.0, **given)
    monkeypatch.setattr(Operation, "run", lambda *_: slow.append(1))
    assert (step(x, 1.0, **given) == 1).all()
    assert not slow


def test_tensors_elsewhere_are_brought_to_the_device_at_each_call(monkeypatch):
    torch = pytest.importorskip("torch")
    zoo, a, brought = Zoo(registry.FOLDER, Machine()), torch.ones(2, 2), []
    zoo.register("matmul", "there", device="cuda", arrays="torch", rank=1000)(lambda a, b: a @ b)
    monkeypatch.setattr(_arrays, "to_torch", lambda array, device, dtype=None: brought.append(device) or array)
    for calls in (1, 2, 3, 4):
        assert (zoo.get("matmul", "cuda")(a, a) == 2).all()
        assert brought.count("cuda") == 2 * calls


def test_arrays_that_do_not_fit_are_refused_after_one_that_did(measured):
    product = strict_zoo().get("matmul")
    a, b = np.ones((2, 2, 3)), np.ones((2, 3, 4))
    for _ in range(2):
        assert product(a[0], b[0]).shape == (2, 4)
        assert product(a, b).shape == (2, 2, 4)
    for x, y in ((a[0], b[0, :2]), (a, b[:, :2]), (a, np.ones((3, 3, 4)))):
        with pytest.raises(ValueError, match=r"^matmul: argument b: expected .*to go with a|leading dimensions"):
            product(x, y)


def test_what_is_remembered_of_a_call_does_not_keep_its_arrays(measured):
    _, step = chooser("meanshift_step")
    for _ in range(3):
        x = np.random.default_rng(0).random((40_000, 2), np.float32)
        kept = weakref.ref(x)
        step(x, 0.01)
        del x
        assert kept() is None
