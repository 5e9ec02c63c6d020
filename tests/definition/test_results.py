"""What follows from a definition whose result is more than one floating array: typed results, and a judge of indices."""

import numpy as np
import pytest
from array_api_compat import array_namespace
from catalogues import zoo_of

from kernels import _conformance
from kernels._definition.counting import Counted, Tally
from kernels._definition.numerics import precision_of
from kernels._definition.rounding import Rounded
from registry import ConformanceError, Zoo

pytestmark = pytest.mark.slow

NEAREST = '''"""nearest: the site nearest to each point, and how far it is."""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

ROWS = "n"


class Nearest(NamedTuple):
    """Which site, and its distance."""

    index: Int[Array, "n"]
    distance: Float[Array, "n"]


def nearest(x: Float[Array, "n d"], sites: Float[Array, "m d"]) -> Nearest:
    """Find the nearest site of each point; any of those that are equally near."""
    xp = array_namespace(x)
    squares = xp.sum((x[:, None, :] - sites[None, :, :]) ** 2, axis=-1)
    return Nearest(xp.argmin(squares, axis=-1), xp.sqrt(xp.min(squares, axis=-1)))
'''
GATHER = '''"""gather: rows of a table by their labels, each with a weight."""

from __future__ import annotations

from array_api_compat import array_namespace

INDICES = {"labels": "k"}


def gather(
    table: Float[Array, "k d"], weights: Float[Array, "*batch n"], labels: Int[Array, "*batch n"]
) -> Float[Array, "*batch n d"]:
    """Take the rows that labels name, times their weights."""
    xp = array_namespace(table)
    rows = xp.reshape(xp.take(table, xp.reshape(labels, (-1,)), axis=0), (*labels.shape, table.shape[1]))
    return rows * weights[..., None]
'''
HALVES = '''"""halves: which points lie on one side of their mean, and which on the other."""

from __future__ import annotations

from array_api_compat import array_namespace


def halves(x: Float[Array, "n"]) -> Int[Array, "n"]:
    """Label each point 0 or 1; which side is 1 is left open."""
    xp = array_namespace(x)
    return xp.astype(above(x), xp.int64)


def above(x):
    xp = array_namespace(x)
    return x > xp.mean(x) if x.shape[0] else x > 0


def judge(call, result):
    side = call.evaluate(above)
    if ((result != 0) & (result != 1)).any():
        return f"a label is 0 or 1, got {result.min()} to {result.max()}"
    wrong = [(side.certain & (side.value != labels)).sum() for labels in (result == 1, result == 0)]
    return f"{min(wrong)} points are on the wrong side" if min(wrong) else None
'''
SHARES = '''"""shares: a row's exponentials over their sum, where an entry may be hidden by -inf."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from kernels._definition.rounding import pivot

SPECIAL = {"x": (-math.inf,)}


def shares(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Divide; a row whose entries are all hidden is NaN."""
    xp = array_namespace(x)
    weights = xp.exp(x - pivot(xp.max(x, axis=-1, keepdims=True))) if x.shape[-1] else x
    return weights / xp.sum(weights, axis=-1, keepdims=True)
'''
COUNTS = '''"""counts: how often each of the first whole numbers occurs."""

from __future__ import annotations

from array_api_compat import array_namespace

DEFINITION = {"dtypes": ("int64",)}


def counts(x: Int[Array, "n"], first: Int[Array, "k"]) -> Int[Array, "k"]:
    """Count the entries of x that equal each of the first."""
    xp = array_namespace(x)
    return xp.sum(xp.astype(x[None, :] == first[:, None], xp.int64), axis=1)
'''
GREEDY = '''"""differences: of all pairs, all at once."""

from __future__ import annotations

from array_api_compat import array_namespace

DEFINITION = {"dtypes": ("float64",)}


def differences(x: Float[Array, "n d"]) -> Float[Array, "d"]:
    """Sum the sizes of all differences."""
    return array_namespace(x).sum(abs(x[:, None, :] - x[None, :, :]), axis=(0, 1))
'''

OPERATIONS = {"nearest": NEAREST, "gather": GATHER, "halves": HALVES, "shares": SHARES, "counts": COUNTS, "differences": GREEDY}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A catalogue whose operations are stated in their definitions alone."""
    misstated = GREEDY.replace("differences", "misstated").replace("float64", "float65")
    with zoo_of(tmp_path_factory.mktemp("zoo"), OPERATIONS | {"misstated": misstated}) as made:
        yield made


# The judge


def distances(x, sites):
    return np.sqrt(((x[:, None] - sites[None]) ** 2).sum(axis=-1))


def first_of_a_tie(x, sites):
    d = distances(x, sites)
    return d.argmin(axis=1), d.min(axis=1)


def last_of_a_tie(x, sites):
    d = distances(x, sites)
    return len(sites) - 1 - d[:, ::-1].argmin(axis=1), d.min(axis=1)


def second_nearest(x, sites):
    d = distances(x, sites)
    return np.argsort(d, axis=1)[:, min(1, len(sites) - 1)], d.min(axis=1)


def of_the_row_before(x, sites):
    index, distance = first_of_a_tie(x, sites)
    return np.roll(index, 1), distance


def in_eight_bits(x, sites):
    index, distance = first_of_a_tie(x, sites)
    return index.astype(np.int8).astype(np.int64), distance


def in_sixteen_bits(x, sites):
    index, distance = first_of_a_tie(x, sites)
    return index.astype(np.uint16).astype(np.int64), distance


def in_half_precision(x, sites):
    d = distances(x.astype(np.float16), sites.astype(np.float16))
    return d.argmin(axis=1), distances(x, sites).min(axis=1)


def narrow_index(x, sites):
    index, distance = first_of_a_tie(x, sites)
    return index.astype(np.int32), distance


def distance_of_another(x, sites):
    index, distance = first_of_a_tie(x, sites)
    return index, distance[::-1].copy()


def an_array_alone(x, sites):
    return first_of_a_tie(x, sites)[1]


@pytest.mark.parametrize("function", [first_of_a_tie, last_of_a_tie])
def test_right_kernels_may_break_ties_as_they_like(zoo, function):
    with np.errstate(all="ignore"):
        zoo.check("nearest", function, max_examples=10)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (second_nearest, r"index: entry \(\d+,\) is \d+, expected \d+"),
        (of_the_row_before, r"index: entry \(\d+,\) is \d+, expected \d+"),
        (in_eight_bits, r"index: entry \(\d+,\) is -?\d+, expected \d+"),
        (in_sixteen_bits, r"index: entry \(\d+,\) is \d+, expected \d{5}"),
        (in_half_precision, r"index: entry \(\d+,\) is \d+, expected \d+"),
        (
            narrow_index,
            r"returned index: a NumPy array of int32, shape \(\d+,\), expected a NumPy array of int64, .*",
        ),
        (distance_of_another, r"distance: entry \(\d+,\) is .*, expected .*: off by .* times its bound"),
        (an_array_alone, "returned a ndarray, expected a tuple of index, distance"),
    ],
)
def test_wrong_kernels_are_refused_in_the_words_of_the_part(zoo, function, words, monkeypatch):
    monkeypatch.setattr(_conformance, "SHRINKS", False)
    with np.errstate(all="ignore"), pytest.raises(ConformanceError, match=words):
        zoo.check("nearest", function, max_examples=120)


def test_an_index_is_judged_by_what_is_certain():
    format = precision_of("float32")
    numbers = Rounded(np.array([[3.0, 1.0, 1.0 + 1e-6, 2.0]]), np.array(1e-6), format=format)
    xp = numbers.__array_namespace__()
    least, order = xp.argmin(numbers, axis=1), xp.argsort(numbers, axis=1)[:, :2]
    assert [bool(least.allows(np.array([i]))[0]) for i in (-1, 0, 1, 2, 3, 4)] == [False, False, True, True, False, False]
    for pair, allowed in (([1, 2], True), ([2, 1], True), ([1, 1], False), ([1, 3], False)):
        assert order.allows(np.array([pair])).all() == allowed
    assert xp.argmax(numbers, axis=1).allows(np.array([0])).all()
    assert (least == np.arange(4)).certain.tolist() == [True, False, False, True]
    np.testing.assert_allclose(xp.sort(numbers, axis=1).error, 1e-6)
    taken = xp.take(Rounded(np.array([[0.0], [5.0], [7.0], [9.0]]), format=format), least, axis=0)
    assert (float(taken.value[0, 0]), float(taken.error[0, 0])) == (5.0, 2.0)


# Functions of one array and of a second that shares its first axis, as definitions call them.
FUNCTIONS = {
    "sort": lambda xp, x, y: xp.sort(x * y, axis=1),
    "sort, descending": lambda xp, x, y: xp.sort(x * y, axis=0, descending=True),
    "take along": lambda xp, x, y: xp.take_along_axis(y, xp.argsort(x * 3.1, axis=1), axis=1),
    "take": lambda xp, x, y: xp.take(y, xp.argmin(x - y, axis=0), axis=0),
    "std": lambda xp, x, y: xp.std(x + y, axis=1, correction=1.0),
    "var": lambda xp, x, y: xp.var(x / 3, axis=0, keepdims=True),
    "concat": lambda xp, x, y: xp.sum(xp.concat([x * y, y / 7], axis=1), axis=1),
    "stack": lambda xp, x, y: xp.max(xp.stack([x * y, y / 7], axis=0), axis=0),
    "flip": lambda xp, x, y: xp.flip(x, axis=1) * y,
    "roll": lambda xp, x, y: xp.subtract(xp.roll(x, 1, axis=0), xp.square(y)),
    "count": lambda xp, x, y: xp.sum(xp.astype(x * y > 0.5, xp.float32), axis=1),
    "any": lambda xp, x, y: xp.where(xp.any(x < y, axis=1)[:, None] & (y > 0), x / 3, y),
    "full": lambda xp, x, y: xp.where(xp.isfinite(x), x, xp.full_like(x, 2.0)) / (xp.abs(y) + xp.ones((5, 6), dtype=xp.float32)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_only_counts_knows_the_shape_and_the_work(name):
    tally, function, ones = Tally(), FUNCTIONS[name], np.ones((5, 6), np.float32)
    counted = Counted(ones.shape, tally)
    made = function(counted.__array_namespace__(), counted, counted)
    assert made.shape == function(array_namespace(ones), ones, ones).shape
    assert tally.flops >= made.size
    assert tally.largest >= made.size


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_stays_within_its_bound(name):
    """In float32 and on arrays with errors of their own: what NumPy makes of it is within what the arithmetic says."""
    rng, worst, function = np.random.default_rng(5), 0.0, FUNCTIONS[name]
    for _ in range(20):
        x, y = (rng.standard_normal((5, 6)).round(rng.integers(1, 7)).astype(np.float32) for _ in "xy")
        bound = function(*_on_errors(x, y))
        got = function(array_namespace(x), x, y)
        assert got.shape == bound.shape
        error = np.abs(got - bound.value)
        assert (error <= bound.error).all()
        worst = max(worst, float(np.max(error / np.maximum(bound.error, 1e-300))))
    assert worst > 0.01 or name in ("count", "take", "take along", "any")  # these choose, and choose alike


def _on_errors(*arrays):
    rounded = [Rounded(array.astype(float), format=precision_of("float32")) for array in arrays]
    return rounded[0].__array_namespace__(), *rounded


def test_infinities_that_are_brought_stay_exact():
    x = Rounded(np.array([[-np.inf, 1.0, 2.0]]), format=precision_of("float32"))
    xp = x.__array_namespace__()
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    weights = xp.exp(shifted)
    assert shifted.error[0, 0] == 0
    assert (weights.value[0, 0], weights.error[0, 0]) == (0, 0)
    assert np.isfinite((weights / xp.sum(weights, axis=-1, keepdims=True)).error).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_an_operation_may_judge_its_results_itself(zoo, sign, monkeypatch):
    def halves(x):
        return (sign * x > sign * (x.mean() if x.size else 0)).astype(np.int64)

    def by_the_middle(x):
        return (x > (np.median(x) if x.size else 0)).astype(np.int64)

    def counted_from_one(x):
        return halves(x) + 1

    zoo.check("halves", halves, max_examples=15)
    monkeypatch.setattr(_conformance, "SHRINKS", False)
    for wrong, words in ((by_the_middle, r"\d+ points are on the wrong side"), (counted_from_one, "a label is 0 or 1, got")):
        with pytest.raises(ConformanceError, match=f"halves: agrees_with_reference failed: {words}"):
            zoo.check("halves", wrong, max_examples=60)


def test_entries_may_be_infinite_where_an_operation_says_so(zoo, monkeypatch):
    def shares(x):
        weights = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
        return weights / weights.sum(axis=-1, keepdims=True)

    def at_a_large_number(x):
        return shares(np.maximum(x, -30))

    def of_finite_rows(x):
        return np.nan_to_num(shares(x))

    zoo.check("shares", shares, max_examples=20)
    monkeypatch.setattr(_conformance, "SHRINKS", False)
    for wrong in (at_a_large_number, of_finite_rows):
        with pytest.raises(ConformanceError, match="shares: agrees_with_reference failed: entry"):
            zoo.check("shares", wrong, max_examples=100)


# Types


def test_an_operation_of_whole_numbers_is_exact(zoo, monkeypatch):
    def counts(x, first):
        return np.array([(x == each).sum() for each in first], np.int64)

    zoo.check("counts", counts, dtypes=("int64",), max_examples=20)
    assert zoo.get("counts")(np.array([1, 1, 2]), np.array([1, 3])).tolist() == [2, 0]
    monkeypatch.setattr(_conformance, "SHRINKS", False)
    with pytest.raises(ConformanceError, match=r"counts: agrees_with_reference failed: entry \(\d+,\) is \d+, expected \d+"):
        zoo.check("counts", lambda x, first: counts(x[:-1], first), dtypes=("int64",), max_examples=60)


def test_only_floating_arguments_promote_together(zoo):
    seen = []

    def gather(table, weights, labels):
        seen.append([array.dtype.name for array in (table, weights, labels)])
        return table[labels] * weights[:, None]

    zoo.register("gather", "plain", dtypes=("float32", "float64"))(gather)
    function = zoo.get("gather", "plain")
    table, weights, labels = np.ones((3, 2), np.float32), np.ones(4, np.float64), np.array([0, 1, 2, 0], np.int16)
    assert function(table, weights, labels).dtype == np.float64
    assert function(table, weights.astype(np.float32), labels).dtype == np.float32
    assert seen == [["float64", "float64", "int16"], ["float32", "float32", "int16"]]
    batch = function(table, np.stack([weights] * 5), labels)  # one call for each of the batch
    assert batch.shape == (5, 4, 2)
    assert len(seen) == 7
    with pytest.raises(TypeError, match=r"^gather: argument labels: expected an integer dtype, got float64; cast it$"):
        function(table, weights, labels.astype(float))
    with pytest.raises(ValueError, match=r"^gather: argument labels: expected indices from 0 to 2 \(k is 3\), got 1 to 3$"):
        function(table, weights, labels + 1)
    with np.errstate(all="ignore"):
        zoo.check("gather", gather, max_examples=10)


# The first variant


@pytest.mark.parametrize("kind", ["numpy", "torch", "array_api_strict"])
def test_an_operation_has_a_variant_from_the_first_minute(zoo, kind):
    package = pytest.importorskip(kind)
    x, sites = (package.asarray(np.ones((n, 2), np.float32) * n) for n in (3, 5))
    result = zoo.get("nearest", "definition")(x, sites)
    assert type(result).__name__ == "Nearest"
    assert {type(part) for part in result} == {type(x)}
    assert str(result.index.dtype).rpartition(".")[2] == "int64"
    assert result.distance.dtype == x.dtype
    assert zoo.explain("nearest", x, sites).chosen.name == "definition"
    zoo_with_kernel = Zoo(zoo.folder)
    zoo_with_kernel.register("nearest", "plain")(first_of_a_tie)
    assert zoo_with_kernel.explain("nearest", x, sites).chosen.name == "plain"  # the definition comes last


def test_a_definition_refuses_what_would_take_too_much_memory(zoo):
    large = np.broadcast_to(np.float64(1), (30_000, 2))
    with pytest.raises(ValueError, match=r"variant 'definition' takes at most 2\.68435e\+08 scratch; this call has 1\.8e\+09"):
        zoo.get("differences", "definition")(large)


def test_a_file_says_of_its_definition_what_a_register_line_would(zoo):
    stated = zoo.variant("differences", "definition")
    assert (stated.dtypes, stated.rank, stated.framework, stated.is_definition) == (("float64",), -1, "array API", True)
    (one, other) = zoo.variants("misstated")
    assert {one.name, other.name} == {"definition", "definition_cuda"}
    assert "DEFINITION in" in one.reason
    assert "no dtype 'float65'; did you mean 'float64'?" in one.reason
