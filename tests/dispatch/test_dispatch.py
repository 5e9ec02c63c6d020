"""Which variant runs a call, and what is said when none can."""

import fractions
import re

import numpy as np
import pytest
from neighbours import fresh_zoo

import registry
from kernels import _dispatch
from registry import VariantUnavailable


def test_without_measurements_dispatch_is_by_rank_then_by_the_callers_kind(measured):
    a = np.ones((3, 3), np.float32)
    explanation = registry.explain("matmul", a, a)
    assert explanation.chosen is explanation.considered[0][0]
    serving = [v for v, reason in explanation.considered if reason is None]
    best = [v for v in serving if v.rank == max(v.rank for v in serving)]
    assert explanation.chosen in best
    assert explanation.chosen.arrays == "numpy" or all(v.arrays != "numpy" for v in best)
    text = str(explanation)
    assert f"{explanation.chosen.name}: runs" in text
    assert len(text.splitlines()) == 1 + len(registry.variants("matmul")) + len(explanation.notes)


def test_dispatch_turns_to_another_variant_for_another_dtype():
    integers = np.arange(6).reshape(2, 3)
    chosen = registry.explain("matmul", integers, integers.T).chosen
    assert "int64" in chosen.dtypes
    assert (registry.get("matmul")(integers, integers.T) == [[5, 14], [14, 50]]).all()


def test_what_every_variant_refuses_is_said_once():
    step, x = registry.get("meanshift_step"), np.ones((3, 2))
    cases = [
        (x.astype(int), {}, TypeError, "meanshift_step: argument x: expected dtype float32 or float64, got int64; cast it"),
        (
            x,
            {"bach_size": 7},
            TypeError,
            "meanshift_step: no variant has an argument 'bach_size'; their options are: batch_size, method, selector",
        ),
        (
            x,
            {"batch_size": "7"},
            TypeError,
            "meanshift_step: no variant for 'auto' can take this call: each takes batch_size as int; got '7'",
        ),
    ]
    for points, options, error, message in cases:
        with pytest.raises(error) as caught:
            step(points, 1.0, **options)
        assert str(caught.value) == message
    zoo = fresh_zoo()
    for name, most in (("one", 1), ("two", 2)):  # several reasons: a line each, of those that could run
        zoo.register("matmul", name, dtypes=("bfloat16",), limits={"flops": most})(np.matmul)
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"no variant for 'auto' can take this call:\n  two: .*\n  one: .*has 54$"):
        zoo.get("matmul")(*[torch.ones(3, 3, dtype=torch.bfloat16)] * 2)
    for variant in registry.variants("matmul"):
        if variant.available:
            with pytest.raises(TypeError, match=r"matmul: .*too many positional arguments$"):
                registry.get("matmul", variant.name)(x.T, x, x)
    with pytest.raises(TypeError, match=r"^meanshift_step: missing a required argument: 'bandwidth'$"):
        registry.get("meanshift_step", "loop")(x)


def test_an_option_narrows_the_choice_and_is_checked():
    x = np.random.default_rng(0).standard_normal((20, 2))
    step = registry.get("meanshift_step")
    chosen = registry.explain("meanshift_step", x, 1.0, batch_size=7).chosen
    assert "batch_size" in chosen.options
    for integer in (7, np.int64(7), np.array(7)):
        assert step(x, 1.0, batch_size=integer).shape == x.shape
    for bad, error in ((0, ValueError), (-1, ValueError), ("7", TypeError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"meanshift_step: .*batch_size"):
            registry.get("meanshift_step", chosen.name)(x, 1.0, batch_size=bad)
    with pytest.raises(TypeError, match=f"variant '{chosen.name}' has no argument 'bach_size'"):
        registry.get("meanshift_step", chosen.name)(x, 1.0, bach_size=7)


def test_limits_are_a_variants_own_word_and_hold():
    zoo = fresh_zoo()
    zoo.register("matmul", "small", rank=1000, limits={"flops": 100})(lambda a, b: np.full((a.shape[0], b.shape[1]), 7.0))
    small, large = np.ones((2, 2)), np.ones((9, 9))
    assert (zoo.get("matmul")(small, small) == 7).all()
    assert (zoo.get("matmul")(large, large) == 9).all()
    assert "at most 100 flops" in {v.name: r for v, r in zoo.explain("matmul", large, large).considered}["small"]
    with pytest.raises(ValueError, match="variant 'small' takes at most 100 flops; this call has 1458"):
        zoo.get("matmul", "small")(large, large)
    zoo.register("meanshift_step", "one_kernel", rank=1000, limits={"kernel": ("flat",)})(
        lambda x, bandwidth, data, weights, kernel: x + 1
    )
    assert (zoo.get("meanshift_step")(small, 1.0, kernel="flat") == 2).all()
    assert zoo.explain("meanshift_step", small, 1.0).chosen.name != "one_kernel"


def test_a_limit_of_nothing_keeps_one_variant_away():
    zoo = fresh_zoo()
    zoo.register("matmul", "limitless", rank=1001, limits={"foo": 3})(lambda a, b: a)
    a = np.full((3, 3), 2.0)
    for _ in range(2):
        assert (zoo.get("matmul")(a, a) == 12).all()
    reasons = {v.name: reason for v, reason in zoo.explain("matmul", a, a).considered}
    assert re.match(r"limits 'foo' \(.*test_dispatch\.py:\d+\), which is neither an argument nor", reasons["limitless"])
    with pytest.raises(VariantUnavailable, match="variant 'limitless' limits 'foo'"):
        zoo.get("matmul", "limitless")(a, a)


def test_a_precision_that_the_contract_does_not_know_is_refused():
    zoo = fresh_zoo()
    for operation in ("matmul", "meanshift_step"):
        zoo.register(operation, "sloppy", rank=1000, precision="sloppy")(lambda *args, **kwargs: 1 / 0)
        with pytest.raises(VariantUnavailable, match=rf"{operation} knows no precision 'sloppy' \(there are: working"):
            zoo.get(operation, "sloppy")
    assert zoo.get("matmul")(np.eye(2), np.eye(2)).tolist() == [[1, 0], [0, 1]]


def test_a_misspelt_keyword_is_named_with_the_nearest_spelling():
    x = np.ones((3, 2))
    for name in ("auto", "loop", "broadcast"):
        with pytest.raises(TypeError) as caught:
            registry.get("meanshift_step", name)(x, bandwith=0.5)
        assert str(caught.value) == (
            "meanshift_step: missing a required argument: 'bandwidth'; there is no argument 'bandwith', did you mean 'bandwidth'?"
        )
    with pytest.raises(TypeError, match=r"argument: 'bandwidth'; there is no argument 'zzz'$"):
        registry.get("meanshift_step")(x, zzz=1, batch_size=3)
    with pytest.raises(TypeError, match="'batchsize', did you mean 'batch_size'"):
        registry.explain("meanshift_step", x, batchsize=1)


def test_the_batch_of_a_kernel_for_batches_is_an_ordinary_call(monkeypatch):
    """What stands before the core dimensions of the one array costs no look at the call; a number is refused as ever."""
    slow = []
    monkeypatch.setattr(_dispatch.Operation, "run", lambda *_: slow.append(1))
    x = np.ones((2, 3, 4), np.float32)
    whole = registry.get("softmax", "numba" if not registry.missing("numba") else "loop")
    assert whole(x).shape == x.shape
    assert (whole(x[0, 0]) == 0.25).all()
    assert not slow
    registry.get("softmax", "loop")(x)  # takes one row at a time
    assert slow
    with pytest.raises(ValueError, match=r"^softmax: argument x: expected shape \(\.\.\., n\), got \(\)"):
        whole(x[0, 0, 0, ...])


def test_data_by_keyword_is_an_ordinary_call(monkeypatch):
    x = np.ones((3, 2), np.float32)
    step = registry.get("meanshift_step", "broadcast")
    slow = []
    monkeypatch.setattr(_dispatch.Operation, "run", lambda *_: slow.append(1))
    assert (step(x, 1.0, data=x[:1], kernel="flat") == 1).all()
    assert not slow
    with pytest.raises(TypeError, match=r"^meanshift_step: argument data: expected dtype float32 like x, got float64"):
        step(x, 1.0, data=x[:1].astype(float))


def test_arrays_of_both_byte_orders_have_one_dtype():
    x, weights = np.arange(8, dtype=">f4").reshape(4, 2), np.ones(4, "<f4")
    for selector in ("auto", "broadcast"):
        step = registry.get("meanshift_step", selector)
        own, native = step(x, 1.0, data=x.astype("<f4"), weights=weights), step(x.astype("<f4"), 1.0, weights=weights)
        assert own.dtype == np.float32
        np.testing.assert_array_equal(own, native)


def test_a_choice_among_variants_for_objects_warns_of_nothing():
    halves = np.full((2, 2), fractions.Fraction(1, 2), object)
    assert (registry.get("matmul")(halves, halves) == fractions.Fraction(1, 2)).all()


def test_where_all_that_could_serve_are_avoided_the_error_says_so():
    everything = [variant.name for variant in registry.variants("matmul")]
    a = np.ones((2, 2))
    with (
        registry.avoid("matmul", *everything),
        pytest.raises(
            VariantUnavailable, match=r"^matmul: no variant for 'auto' can take this call: each is forbidden here: avoid"
        ),
    ):
        registry.get("matmul")(a, a)


ORDINARY = {  # calls that a first call makes ordinary, with the variant that serves them by name
    "matmul": ("numpy", lambda x: (x, x.swapaxes(1, 2))),
    "slerp": ("broadcast", lambda x: (x, x, 0.5)),
    "outer": ("broadcast", lambda x: (x[0, 0], x[0, 1])),
    "pairwise_distance": ("broadcast", lambda x: (x[0],)),
}


@pytest.mark.parametrize("operation", ORDINARY)
def test_batches_further_dtypes_and_arrays_left_out_are_ordinary_calls(operation, monkeypatch):
    name, arguments = ORDINARY[operation]
    x = np.ones((2, 3, 4), np.float32)
    calls = [(registry.get(operation, selector), arguments(some)) for selector in ("auto", name) for some in (x, x[:1])]
    for _ in range(2):  # the first call of all imports the file of the variant that it chooses
        first = [call(*given) for call, given in calls]
    slow = []
    monkeypatch.setattr(_dispatch.Operation, "run", lambda *_: slow.append(1))
    for (call, given), result in zip(calls, first, strict=True):
        again = call(*given)
        assert not slow
        assert again.dtype == result.dtype
        assert (again == result).all()


VECTORS = {"a row": ((3,), (3, 4)), "a column": ((2, 3), (3,)), "two": ((3,), (3,)), "beside a batch": ((3,), (5, 3, 4))}


@pytest.mark.parametrize("shapes", [*VECTORS.values(), ((5, 2, 3), (3, 4)), ((2, 3), (6, 5, 3, 4))])
@pytest.mark.parametrize("kind", ["auto", "numpy", "loop"])
def test_vectors_and_fewer_batches_are_ordinary_calls(kind, shapes, monkeypatch):
    """What an array may lack costs no look at the call, whether the kernel takes it so or not; a batch must be for the kernel."""
    rng, slow = np.random.default_rng(0), []
    a, b = (rng.integers(1, 9, shape).astype(np.float32) for shape in shapes)
    product = registry.get("matmul", kind)
    for _ in range(2):  # the first call of all imports the file of the variant that it chooses
        product(a, b)
    monkeypatch.setattr(_dispatch.Operation, "run", lambda *_: slow.append(1))
    result = product(a, b)
    if kind == "loop" and max(a.ndim, b.ndim) > 2:
        assert slow
        return
    assert not slow
    assert type(result) is type(a @ b)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, a @ b, strict=True)
    with pytest.raises(ValueError, match=r"^matmul: argument b: expected shape \("):
        product(a, b[..., :0, :] if b.ndim > 1 else b[:0])


def test_batches_that_are_broadcast_are_no_ordinary_call(monkeypatch):
    slow = []
    monkeypatch.setattr(_dispatch.Operation, "run", lambda *_: slow.append(1))
    x = np.ones((2, 3, 4), np.float32)
    registry.get("matmul", "numpy")(x[:1], x.swapaxes(1, 2))
    assert slow
