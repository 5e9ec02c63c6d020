"""Everything that a register line can declare, a function that is not registered can claim; and whole functions, bare."""

import textwrap

import numpy as np
import pytest
from verdicts import torch, verdict, without_shrinking  # noqa: F401 (a fixture for all)

import registry
from kernels._cli.check import _claimed
from kernels._conformance.claims import implementation_from
from kernels._variant import DEFAULTS
from registry import ConformanceError

pytestmark = pytest.mark.slow

# Right kernels that need a class of error of their own


def strassen(a, b):
    """Seven products of halves for eight, down to blocks of sixteen."""
    m, k, n = *a.shape, b.shape[1]
    if min(m, k, n) <= 16:
        return np.matmul(a, b)
    a, b = (np.pad(each, [(0, extent % 2) for extent in each.shape]) for each in (a, b))
    i, j, p = (extent // 2 for extent in (*a.shape, b.shape[1]))
    a11, a12, a21, a22 = a[:i, :j], a[:i, j:], a[i:, :j], a[i:, j:]
    b11, b12, b21, b22 = b[:j, :p], b[:j, p:], b[j:, :p], b[j:, p:]
    m1, m2, m3 = strassen(a11 + a22, b11 + b22), strassen(a21 + a22, b11), strassen(a11, b12 - b22)
    m4, m5 = strassen(a22, b21 - b11), strassen(a11 + a12, b22)
    m6, m7 = strassen(a21 - a11, b11 + b12), strassen(a12 - a22, b21 + b22)
    return np.block([[m1 + m4 - m5 + m7, m3 + m5], [m2 + m4, m1 - m2 + m3 + m6]])[:m, :n].copy()


def weights(x, bandwidth, data, kernel):
    with np.errstate(over="ignore"):
        q2 = np.minimum((((data - x[:, None]) / x.dtype.type(bandwidth)) ** 2).sum(axis=2), np.finfo(x.dtype).max)
    if kernel == "gaussian":
        return np.exp((q2.min(axis=1, keepdims=True) - q2) / 2)
    return {
        "triangular": lambda: np.maximum(1 - np.sqrt(q2), 0),
        "epanechnikov": lambda: np.maximum(1 - q2, 0),
        "flat": lambda: (q2 <= 1).astype(x.dtype),
    }[kernel]()


def as_the_docstring_says(x, bandwidth, *, data, kernel):
    """The sum of w y over the sum of w, without differences."""
    if not len(x):
        return x.copy()
    w = weights(x, bandwidth, data, kernel)
    total = w.sum(axis=1)[:, None]
    return np.where(total == 0, x, (w[:, :, None] * data).sum(axis=1) / np.where(total == 0, 1, total))


def in_half(function):
    """The same with operands cut to float16."""

    def cut(*arrays, **parameters):
        with np.errstate(over="ignore"):
            arrays = [each.astype("float16").astype(each.dtype) if hasattr(each, "astype") else each for each in arrays]
            return function(*arrays, **parameters)

    return cut


CLASSES = [("matmul", strassen, "normwise", "digits"), ("meanshift_step", as_the_docstring_says, "plain", "agrees_with")]


@pytest.mark.parametrize(("operation", "function", "precision", "property_"), CLASSES)
def test_a_class_of_error_lets_through_what_needs_it_and_no_fewer_digits(operation, function, precision, property_):
    registry.check(operation, function, precision=precision, max_examples=4)
    assert verdict([property_], function, operation, examples=100)
    assert verdict(["agrees_with"], in_half(function), operation, precision=precision)


# Each claim, by a right function that needs it


def on_tensors(a, b):
    """Complain of anything but tensors."""
    return torch().matmul(a.contiguous(), b)


def in_doubles(a, b):
    """Take float64 alone."""
    if a.dtype != np.float64:
        raise TypeError("no matching definition")
    return np.matmul(a, b)


def in_order(a, b):
    """Take writable C order alone."""
    if not (a.flags.carray and b.flags.carray):
        raise TypeError("no matching definition")
    return np.matmul(a, b)


def by_tiles(a, b, *, tile):
    """Take an option that has no default."""
    return np.matmul(a, b) if tile == 8 else None


def small(a, b):
    """Take few operations."""
    if a.shape[0] * a.shape[1] * b.shape[1] > 600_000:
        raise MemoryError
    return np.matmul(a, b)


_chance = np.random.default_rng(0)


def by_chance(a, b):
    """Add up in another order each time."""
    order = _chance.permutation(a.shape[1])
    return np.matmul(a[:, order], b[order])


def whole(a, b):
    """Take batches and vectors as they come, and nothing of two dimensions that is a part of them."""
    if a.base is not None and a.ndim == 2 and a.base.ndim > 2:
        raise TypeError("a part of a batch")
    return np.matmul(a, b)


NEEDED = {
    "arrays": (on_tensors, "torch"),
    "batches": (whole, True),
    "deterministic": (by_chance, False),
    "dtypes": (in_doubles, ("float64",)),
    "layout": (in_order, "C"),
    "limits": (small, {"flops": 500_000}),
    "options": (by_tiles, {"tile": 8}),
    "precision": (strassen, "normwise"),
}
# Where and of what it is made: a claim about the machine, and about a ladder that a function on trial does not stand on.
ABOUT = {"device": (np.matmul, "cpu"), "requires": (np.matmul, ("numpy",)), "rank": (np.matmul, 7)}


def test_all_that_a_register_line_declares_is_tried_here():
    assert NEEDED.keys() | ABOUT.keys() == DEFAULTS.keys()
    assert not NEEDED.keys() & ABOUT.keys()


@pytest.mark.parametrize("claim", [*NEEDED, *ABOUT])
def test_a_right_function_conforms_by_its_claim_and_not_without(claim):
    function, value = {**NEEDED, **ABOUT}[claim]
    assert _claimed((f"{claim}={value!r}",)) == {claim: value}  # as the command reads it
    registry.check("matmul", function, max_examples=2, **{claim: value})
    if claim == "limits":
        assert "MemoryError" in verdict(["ordinary_sizes"], function)
    elif claim in NEEDED and claim != "arrays":  # which is found out
        with pytest.raises(ConformanceError):
            registry.check("matmul", function, max_examples=40)


def test_a_package_that_is_not_here_is_said_so():
    with pytest.raises(registry.VariantUnavailable, match="matmul cannot be checked here: it needs the package nowhere"):
        registry.check("matmul", np.matmul, requires=("nowhere",))


# Whole functions


@pytest.mark.parametrize(("operation", "variant"), [("matmul", "numpy"), ("meanshift_step", "broadcast")])
def test_what_the_front_desk_hands_out_conforms_as_it_is(operation, variant):
    registry.check(operation, registry.get(operation, variant), bare=True, max_examples=2)


def blurred(x, bandwidth):
    """A whole blurring step with gaussian weights, of doubles in NumPy's arrays."""
    if type(x) is not np.ndarray or x.dtype != np.float64:
        raise TypeError("x must be an array of doubles")
    if isinstance(bandwidth, bool) or not isinstance(bandwidth, float | int):
        raise TypeError("the bandwidth must be a number")
    if x.ndim != 2 or not np.isfinite(x).all() or not np.finfo(float).tiny <= bandwidth < np.inf:
        raise ValueError("bad points or bandwidth")
    if not len(x):
        return x.copy()
    w = weights(x, bandwidth, x, "gaussian")
    differences = x - x[:, None]
    return x + (w[:, :, None] * differences).sum(axis=1) / w.sum(axis=1)[:, None]


def tensors(a, b):
    """A whole product of tensors, whose errors are Python's."""
    if not (isinstance(a, torch().Tensor) and isinstance(b, torch().Tensor)):
        raise TypeError("tensors, please")
    try:
        return torch().matmul(a, b)
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def ordered(a, b):
    """A whole product for C order alone."""
    if not all(type(each) is np.ndarray and each.dtype.kind == "f" for each in (a, b)):
        raise TypeError("arrays, please")
    if not (a.flags.carray and b.flags.carray):
        raise TypeError("no matching definition")
    return np.matmul(a, b)


GAUSSIAN = {"kernel": ("gaussian",), "data": (None,)}
WHOLE = [
    ("meanshift_step", blurred, {"arrays": "numpy", "dtypes": ("float64",), "limits": GAUSSIAN}),
    ("matmul", tensors, {"arrays": "torch"}),
    ("matmul", ordered, {"arrays": "numpy", "layout": "C"}),
]


@pytest.mark.parametrize(("operation", "function", "claims"), WHOLE)
def test_a_whole_function_is_asked_only_within_its_claims(operation, function, claims):
    registry.check(operation, function, bare=True, max_examples=4, **claims)
    with pytest.raises(ConformanceError):
        registry.check(operation, function, bare=True, max_examples=20)


product, step = registry.get("matmul", "numpy"), registry.get("meanshift_step", "broadcast")
outer = registry.get("outer", "ufunc")


def moves_points_in_place(x, bandwidth, *, data=None, kernel="gaussian"):
    """The lecture's own bug: rows that have moved are the data of those that follow, if there is no other."""
    y = step(x, bandwidth, data=data, kernel=kernel)
    if data is not None or not isinstance(y, np.ndarray):
        return y
    for i in range(len(y)):
        y[i] = step(x[i : i + 1], bandwidth, data=np.concatenate([y[:i], x[i:]]), kernel=kernel)[0]
    return y


def flat_by_default(x, bandwidth, *, data=None, kernel="flat"):
    """Another default than the operation's."""
    return step(x, bandwidth, data=data, kernel=kernel)


def other_names(left, right):
    """Not the operation's names."""
    return product(left, right)


def takes_lists(a, b):
    """Make arrays of whatever comes."""
    return product(*(np.asarray(each, dtype=float) if isinstance(each, list) else each for each in (a, b)))


def complains_otherwise(a, b):
    """Refuse with an error of its own."""
    try:
        return product(a, b)
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def answers_in_numpy(a, b):
    """Take every kind of array, and answer with one."""
    return product(*(np.asarray(each) if hasattr(each, "dtype") else each for each in (a, b)))


def loses_batches(a, b):
    """Give the first product of a batch for all."""
    c = product(a, b)
    if getattr(c, "ndim", 0) > 2 and c.size:
        c[...] = c[(slice(1),) * (c.ndim - 2)]
    return c


def keeps_a_dimension(a, b):
    """Give a matrix for a vector."""
    c = product(a, b)
    return c[None, ...] if a.ndim == 1 and c.ndim else c


def in_doubles_from_any(a, b, function="multiply"):
    """Give float64 whatever the operands are."""
    result = outer(a, b, function=function)
    return result.astype(float) if isinstance(result, np.ndarray) and result.dtype == np.float32 else result


def outer_in_numpy(a, b, function="multiply"):
    """Take every kind of array, and answer with one."""
    return outer(*(np.asarray(each) if hasattr(each, "dtype") else each for each in (a, b)), function=function)


BARE = [
    ("meanshift_step", moves_points_in_place, "agrees_with"),
    ("meanshift_step", flat_by_default, "agrees_with"),
    ("matmul", other_names, "agrees_with"),
    ("matmul", takes_lists, "refuses"),
    ("matmul", complains_otherwise, "refuses"),
    ("matmul", answers_in_numpy, "agrees_with"),
    ("matmul", loses_batches, "agrees_with"),
    ("matmul", keeps_a_dimension, "agrees_with"),
    ("outer", in_doubles_from_any, "agrees_with"),
    ("outer", outer_in_numpy, "agrees_with"),
]


@pytest.mark.parametrize(("operation", "function", "property_"), BARE)
def test_a_whole_function_that_is_wrong_for_a_user_is_refused(operation, function, property_):
    message = verdict([property_], function, operation, examples=60, bare=True)
    assert message
    assert f"\n    {function.__name__}(" in message or "refuse" in message


def test_the_code_of_a_bare_failure_is_the_call_as_a_user_makes_it():
    message = verdict(["agrees_with"], flat_by_default, "meanshift_step", examples=60, bare=True, arrays="numpy")
    code, _, call = textwrap.dedent(message.partition("smallest failing example:\n")[2]).rstrip().rpartition("\n")
    names = {}
    exec(code, names)
    assert call.startswith("flat_by_default(x, ")
    assert "kernel" not in call
    assert not np.array_equal(eval(call, names), eval(call.replace("flat_by_default", "step"), names | {"step": step}))


def test_a_warning_does_not_decide_on_a_bare_function():
    """NumPy warns of an overflow: that is no error, whatever filters of warnings are set."""
    assert verdict(["agrees_with", "special"], tensors_or_arrays, examples=20, bare=True, arrays="numpy") == ""


def tensors_or_arrays(a, b):
    return np.matmul(a, b)


def picky(a, b):
    """Refuse what cannot be written to, as a compiled function with a stated signature does, and no strides."""
    if not (a.flags.writeable and b.flags.writeable):
        raise ValueError("buffer source array is read-only")
    return np.matmul(a, b)


def writes(a, b):
    """Change an argument where that is possible."""
    c = np.matmul(a, b)
    a *= 2
    return c


def test_copies_of_read_only_arrays_hide_nothing_that_is_written():
    registry.check("matmul", picky, max_examples=3)
    assert "takes no arrays that are read-only" in verdict(["agrees"], lambda a, b: picky(a, b) * 1.5)
    assert "argument a, or memory round it, was changed" in verdict(["leaves_its"], writes)
    assert not implementation_from(registry.zoo(), "matmul", np.matmul).notes
