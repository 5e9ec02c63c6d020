"""What the referee asks of a matmul besides the general properties, and how it draws operands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from kernels._conformance.cases import LAYOUTS, SMALL, Case, extents, in_layouts, lengths, plain
from kernels._conformance.subject import Subject, require
from kernels._definition.numerics import exactness, precision_of, require_precision, wide

REAL = ("float32", "float64")
INEXACT = ("tf32", "3xtf32", "normwise")  # classes of error that cut operands, or add them up before they multiply


@st.composite
def shapes(draw: st.DrawFn, most: int) -> tuple[int, int, int]:
    """Draw (m, k, n) with m k n at most `most`; each in turn is the one that may be largest."""
    shape = [0, 0, 0]
    room = most
    for axis in draw(st.permutations([0, 1, 2])):
        shape[axis] = draw(extents(most, room))
        room //= max(1, shape[axis])
    return shape[0], shape[1], shape[2]


def fill(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, exponent: int = 0) -> np.ndarray[Any, Any]:
    """Fill an array at random: signed normal numbers times a power of two, or integers of the dtype's whole range."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype == "object":
        return np.asarray(rng.integers(-(2**40), 2**40, shape).astype(object)).reshape(shape)
    working = precision_of(dtype)
    if working is None:
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    numbers = np.ldexp(rng.standard_normal(shape), exponent)
    if "complex" in dtype or dtype == "clongdouble":
        return np.asarray((numbers + 1j * np.ldexp(rng.standard_normal(shape), exponent)).astype(dtype))
    return bfloat16(numbers) if dtype == "bfloat16" else np.asarray(numbers.astype(dtype))


def bfloat16(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Round towards zero to bfloat16, kept in float32: its upper sixteen bits."""
    return np.asarray((numbers.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32))


def dtypes_of(dtypes: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Draw a dtype: a third of the time one of the two that every variant takes."""
    common = [dtype for dtype in REAL if dtype in dtypes] or dtypes
    return st.one_of(*map(st.sampled_from, (common, dtypes, dtypes)))


@st.composite
def cases(draw: st.DrawFn, subject: Subject, most: int) -> Case:
    """Draw operands: matrices, sometimes vectors or broadcast batches."""
    dtype = draw(dtypes_of(subject.dtypes))
    m, k, n = draw(shapes(most))
    a_shape, b_shape = draw(
        st.sampled_from(
            [((m, k), (k, n))] * 5
            + [((k,), (k, n)), ((m, k), (k,)), ((k,), (k,)), ((2, m, k), (k, n)), ((3, 1, m, k), (2, k, n))]
        )
        if most <= SMALL
        else st.just(((m, k), (k, n)))
    )
    exponent = draw(st.integers(-6, 6) if dtype == "float16" else st.integers(-40, 40))
    other = -exponent if dtype == "float16" else draw(st.integers(-40, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Case({"a": fill(rng, a_shape, dtype, exponent), "b": fill(rng, b_shape, dtype, other)}, {}, dtype)


def _matrices(
    subject: Subject, data: st.DataObject, dtypes: tuple[str, ...], integers: bool = False
) -> tuple[Case, np.random.Generator]:
    dtype = data.draw(st.sampled_from(dtypes), label="dtype")
    m, k, n = data.draw(shapes(subject.small), label="m, k, n")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    if integers:
        a, b = (rng.integers(-8, 9, shape).astype("float32" if dtype == "bfloat16" else dtype) for shape in ((m, k), (k, n)))
    else:
        a, b = fill(rng, (m, k), dtype), fill(rng, (k, n), dtype)
    return subject.note(Case({"a": a, "b": b}, {}, dtype)), rng


def _floating(subject: Subject) -> tuple[str, ...]:
    """Return the real and complex dtypes that the subject takes; where there is none, a property of rounding asks nothing."""
    dtypes = tuple(dtype for dtype in subject.dtypes if dtype != "object" and precision_of(dtype) is not None)
    assume(dtypes)
    return dtypes


def _real(subject: Subject) -> tuple[str, ...]:
    dtypes = tuple(dtype for dtype in _floating(subject) if "complex" not in dtype and dtype != "clongdouble")
    assume(dtypes)
    return dtypes


def is_exact_on_small_integers(subject: Subject, data: st.DataObject) -> None:
    """Integers in [-8, 8] multiply without rounding in any order, as long as 64 k can be counted exactly.

    Times a power of two they still do, also where they no longer fit a type of integers.
    """
    case, _ = _matrices(subject, data, _floating(subject), integers=True)
    a, b = case.arrays["a"], case.arrays["b"]
    assume(64 * a.shape[1] < exactness(case.dtype))
    expected = a.astype(complex) @ b.astype(complex)
    p, q = (0 if case.dtype == "float16" else data.draw(st.sampled_from([0, 20, 40]), label=name) for name in "pq")
    a *= a.dtype.type(2.0**p)
    b *= b.dtype.type(2.0**q)
    require((subject.call(case) == expected * 2.0 ** (p + q)).all(), "an integer product was rounded")


def keeps_a_matrix_times_the_identity(subject: Subject, data: st.DataObject) -> None:
    """A @ I is A, bit for bit, unless the class of error says that operands are cut or added up first."""
    assume(subject.precision not in INEXACT)
    case, _ = _matrices(subject, data, _floating(subject))
    a = case.arrays["a"]
    case = subject.note(Case({"a": a, "b": np.eye(a.shape[1], dtype=a.dtype)}, {}, case.dtype))
    require((subject.call(case) == a).all(), "A @ I differs from A")


def keeps_the_digits_of_what_it_picks(subject: Subject, data: st.DataObject) -> None:
    """Columns of I pick columns of A, and rows of I rows of B, bit for bit: however long the sums, no entry is rounded.

    The bound grows with the inner extent, and past a few hundred hides a product in fewer digits. Classes of error that
    cut operands, or add them up first, are not asked.
    """
    assume(subject.precision not in INEXACT)
    dtype = data.draw(st.sampled_from(_floating(subject)), label="dtype")
    k = data.draw(st.sampled_from([1, 17, 33, 65, 129, 257, 513, 1025]), label="k")
    m, n = (data.draw(st.sampled_from([1, 2, 17]), label=name) for name in "mn")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    a, b = fill(rng, (m, k), dtype), fill(rng, (k, n), dtype)
    rows, columns = rng.integers(k, size=m), rng.integers(k, size=n)
    identity = np.eye(k, dtype=a.dtype)
    case = subject.note(Case({"a": a, "b": identity[:, columns]}, {}, dtype))
    require((subject.call(case) == a[:, columns]).all(), "a column that was picked lost digits")
    case = subject.note(Case({"a": identity[rows], "b": b}, {}, dtype))
    require((subject.call(case) == b[rows]).all(), "a row that was picked lost digits")


def confines_nan_to_its_row_and_column(subject: Subject, data: st.DataObject) -> None:
    """A NaN in row i of A poisons row i of the result and no other; one in column j of B, column j; infinities likewise.

    A fast product adds rows and columns up before it multiplies, so the class "normwise" is not asked.
    """
    assume(subject.precision != "normwise")
    case, rng = _matrices(subject, data, _floating(subject))
    a, b = case.arrays["a"], case.arrays["b"]
    assume(a.size and b.size)
    special = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]), label="special value")
    i, j = rng.integers(a.shape[0]), rng.integers(b.shape[1])
    a[i, rng.integers(a.shape[1])] = special
    with np.errstate(invalid="ignore"):
        result = subject.call(case)
        clean = subject.call(Case({"a": np.delete(a, i, axis=0), "b": b}, {}, case.dtype))
    require(np.isfinite(clean).all(), "a row without NaN became NaN")
    others = np.delete(result, i, axis=0)
    require(np.isfinite(others).all(), "a NaN or infinity left its row")
    require(not np.isfinite(result[i]).any(), "a NaN or infinity was lost")
    require(np.isnan(result[i]).all() or not np.isnan(special), "a NaN did not propagate")
    a[i] = 1
    b[rng.integers(b.shape[0]), j] = special
    with np.errstate(invalid="ignore"):
        result = subject.call(subject.note(case))
    require(np.isfinite(np.delete(result, j, axis=1)).all(), "a NaN or infinity left its column")
    require(not np.isfinite(result[:, j]).any(), "a NaN or infinity was lost")


def scales_exactly_by_powers_of_two(subject: Subject, data: st.DataObject) -> None:
    """(2^p A)(2^q B) is 2^(p+q) AB, bit for bit: no hidden epsilon, no constant."""
    dtypes = tuple(dtype for dtype in _floating(subject) if dtype != "float16")
    assume(dtypes)
    case, _ = _matrices(subject, data, dtypes)
    p, q = (data.draw(st.integers(-20, 20), label=name) for name in "pq")
    scaled = {"a": case.arrays["a"] * 2.0**p, "b": case.arrays["b"] * 2.0**q}
    scaled = {name: array.astype(case.arrays[name].dtype) for name, array in scaled.items()}
    plain = subject.call(case)
    case = subject.note(Case(scaled, {}, case.dtype))
    subject.same(subject.call(case), plain, case, 2.0 ** (p + q), "scaling by powers of two changed the digits")


def propagates_special_values_as_ieee(subject: Subject, data: st.DataObject) -> None:
    """Zeros, NaN and infinities among the entries give what IEEE arithmetic gives, in any order: 0 inf is NaN, 2 inf is inf.

    Zeros also fill rows, columns and tiles, whose products may not be skipped. The class "normwise" is not asked, as above.
    """
    assume(subject.precision != "normwise")
    case, rng = _matrices(subject, data, _real(subject))
    share = data.draw(st.sampled_from([0.1, 0.02, 0.004]), label="share of special values")
    for array in case.arrays.values():
        chosen = rng.random(array.shape) < share
        array[chosen] = rng.choice([0.0, 0.0, np.nan, np.inf, -np.inf], chosen.sum())
    empty = data.draw(st.sampled_from(["", "rows", "columns", "tile"]), label="what is zero")
    array = case.arrays[data.draw(st.sampled_from("ab"), label="where")]
    rows, columns = (rng.random(extent) < 0.5 for extent in array.shape)
    if empty == "tile":
        array[:, 16 * rng.integers(1 + array.shape[1] // 16) :][:, :16] = 0
        array[16 * rng.integers(1 + array.shape[0] // 16) :][:16] = 0
    elif empty:
        array[rows if empty == "rows" else (slice(None), columns)] = 0
    with np.errstate(invalid="ignore"):
        expected, result = subject.reference(case), subject.call(subject.note(case))
    require((np.isnan(result) == np.isnan(expected)).all(), "a NaN was lost or made up")
    infinite = np.isinf(expected)
    require((result[infinite] == expected[infinite]).all(), "an infinity was lost")
    require(not np.isinf(result[~infinite]).any(), "an infinity was made up")


def reads_every_layout(subject: Subject, data: st.DataObject) -> None:
    """Both operands in each memory layout, where no two extents are equal and none is 1, so that a mistaken stride shows."""
    dtype = data.draw(st.sampled_from(_floating(subject)), label="dtype")
    m, k, n = data.draw(st.permutations([2, 3, 5, 17]), label="m, k, n and one that is not used")[:3]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    operands = Case({"a": fill(rng, (m, k), dtype), "b": fill(rng, (k, n), dtype)}, {}, dtype)
    for layout in LAYOUTS:
        case = subject.note(in_layouts(operands, {"a": layout, "b": layout}))
        subject.judge(plain(case), subject.call(case))


def agrees_where_one_extent_is_long(subject: Subject, data: st.DataObject) -> None:
    """One extent goes past the tiles and splits of fast kernels, up to 4097 and more, and the other two are small."""
    dtype = data.draw(dtypes_of(subject.dtypes), label="dtype")
    long = data.draw(lengths(subject.most), label="long extent")
    shape = [long, *data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), label="other extents")]
    m, k, n = (shape[i] for i in data.draw(st.permutations([0, 1, 2]), label="order of m, k, n"))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    case = subject.note(Case({"a": fill(rng, (m, k), dtype), "b": fill(rng, (k, n), dtype)}, {}, dtype))
    subject.judge(case, subject.call(case))


def agrees_where_two_extents_are_long(subject: Subject, data: st.DataObject) -> None:
    """Rows and columns both past tiles of 256, where their corner is a tile of its own, or a long sum for a tile of each."""
    dtype = data.draw(st.sampled_from(_floating(subject)), label="dtype")
    past = data.draw(st.tuples(*[st.integers(1, 15)] * 3), label="entries past the tiles")
    shapes = [(256, 0, 256), (512, 0, 256), (256, 0, 512), (16, 512, 16), (32, 256, 16), (16, 256, 64)]
    shapes = [shape for shape in shapes if math.prod(extent + 15 for extent in shape) <= subject.most] or [(16, 0, 16)]
    tiles = data.draw(st.sampled_from(shapes), label="tiles")
    m, k, n = (tile + min(extra, 2) if not tile else tile + extra for tile, extra in zip(tiles, past, strict=True))
    working = require_precision(dtype)
    assume(k * working.unit < 0.25)  # the bound of a long sum in a dtype of few digits says nothing
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    case = subject.note(Case({"a": fill(rng, (m, k), dtype), "b": fill(rng, (k, n), dtype)}, {}, dtype))
    subject.judge(case, subject.call(case))


def takes_operands_that_share_memory(subject: Subject, data: st.DataObject) -> None:
    """A matrix times itself, its transpose, a copy of that, or a matrix that lies over it, is a product like any other."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    n, k = (data.draw(st.sampled_from([1, 2, 3, 17, 33, 65]), label=name) for name in "nk")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    square, wide_ = fill(rng, (n, n), dtype), fill(rng, (n + 1, k), dtype)
    a, b = data.draw(
        st.sampled_from(
            [
                (square, square),
                (square.T, square),
                (square[::-1], square),
                (wide_, wide_.T),
                (wide_.T, wide_),
                (wide_, wide_.T.copy()),
                (wide_[1:], wide_[:-1].T),
            ]
        ),
        label="operands",
    )
    case = subject.note(Case({"a": a, "b": b}, {}, dtype))
    subject.judge(plain(case), subject.call(case))


def sees_through_structure(subject: Subject, data: st.DataObject) -> None:
    """Matrices that nearly are diagonal, triangular, symmetric, constant or of equal rows are not taken for such."""
    case, rng = _matrices(subject, data, subject.dtypes)
    for name in data.draw(st.sampled_from(["a", "b", "ab"]), label="operands with structure"):
        array = case.arrays[name]
        rows, columns = np.indices(array.shape)
        structure = data.draw(st.sampled_from(["diagonal", "identity", "triangular", "symmetric", "constant", "rows", "border"]))
        if structure == "diagonal":
            array[rows != columns] = 0
        elif structure == "identity":
            array[...] = np.eye(*array.shape)
        elif structure == "triangular":
            array[rows > columns] = 0
        elif structure == "symmetric" and array.shape[0] == array.shape[1]:
            array[...] = np.where(rows > columns, array.T, array)
        elif structure == "constant":
            array[...] = array[:1, :1]
        elif structure == "rows":
            array[...] = array[:1]
        elif structure == "border":  # zeros all round
            array[[0, -1] if len(array) else []] = 0
            array[:, [0, -1] if array.shape[1] else []] = 0
        for _ in range(data.draw(st.integers(0, 2), label="entries changed") if array.size else 0):
            array[tuple(rng.integers(extent) for extent in array.shape)] = fill(rng, (), case.dtype)
    subject.judge(case, subject.call(case))


def returns_fresh_memory_for_the_identity(subject: Subject, data: st.DataObject) -> None:
    """A @ I and I @ B are copies, not the operands themselves."""
    dtype = data.draw(st.sampled_from(_floating(subject)), label="dtype")
    m, k, n = data.draw(st.tuples(*[st.integers(1, 8)] * 3), label="m, k, n")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    a, b = fill(rng, (m, k), dtype), fill(rng, (k, n), dtype)
    identity = np.eye(k, dtype=a.dtype)
    for operands in ({"a": a, "b": identity}, {"a": identity, "b": b}):
        case = subject.note(Case(operands, {}, dtype))
        result = subject.call(case)
        shared = [name for name, array in operands.items() if np.shares_memory(result, array)]
        require(not shared, "the result shares memory with an operand")


def commutes_with_transposition(subject: Subject, data: st.DataObject) -> None:
    """B^T A^T is the transpose of AB."""
    case, _ = _matrices(subject, data, _floating(subject))
    a, b = case.arrays["a"], case.arrays["b"]
    mirrored = subject.note(Case({"a": b.T, "b": a.T}, {}, case.dtype))
    claim = "B^T A^T is not the transpose of A B"
    subject.hold(subject.call(mirrored).T, subject.call(case), 2 * subject.bound(case), subject.scale(case), claim)


def commutes_with_permutations(subject: Subject, data: st.DataObject) -> None:
    """Permuting the rows of A or the columns of B permutes those of the result, and permuting the inner index changes nothing."""
    case, rng = _matrices(subject, data, _floating(subject))
    a, b = case.arrays["a"], case.arrays["b"]
    rows, inner, columns = (rng.permutation(extent) for extent in (*a.shape, b.shape[1]))
    permuted = subject.note(Case({"a": a[rows][:, inner], "b": b[inner][:, columns]}, {}, case.dtype))
    result = np.empty_like(subject.call(case))
    result[np.ix_(rows, columns)] = subject.call(permuted)
    subject.hold(
        result, subject.call(case), 2 * subject.bound(case), subject.scale(case), "permuting rows and columns changed entries"
    )


def is_associative(subject: Subject, data: st.DataObject) -> None:
    """(AB)C is A(BC), within what the four products may be off by."""
    case, rng = _matrices(subject, data, _floating(subject))
    a, b = case.arrays["a"], case.arrays["b"]
    assume(b.size)  # a sum over nothing is bounded by its underflow, which says nothing
    working = require_precision(case.dtype)
    assume(sum(b.shape) * working.unit < 0.25)  # nor do the bounds of long sums in a dtype of few digits, taken together
    c = fill(rng, (b.shape[1], data.draw(st.sampled_from([1, 2, 17]), label="columns of C")), case.dtype)
    then = Case({"a": b, "b": c}, {}, case.dtype)
    left = Case({"a": subject.call(case), "b": c}, {}, case.dtype)
    right = Case({"a": a, "b": subject.call(then)}, {}, case.dtype)
    first, second = subject.bound(case), subject.bound(then)
    bound = subject.bound(left) + first @ np.abs(c) + subject.bound(right) + np.abs(a) @ second
    size = np.abs(a).astype(float) @ np.abs(b).astype(float) @ np.abs(c).astype(float)
    subject.hold(subject.call(left), subject.call(right), bound, size, "(A B) C is not A (B C)")


def adds_up_over_a_split(subject: Subject, data: st.DataObject) -> None:
    """Where A and B are cut along the inner index, the products of the parts add up to the product."""
    case, rng = _matrices(subject, data, _floating(subject))
    a, b = case.arrays["a"], case.arrays["b"]
    cut = int(rng.integers(a.shape[1] + 1))
    parts = [Case({"a": a[:, k], "b": b[k]}, {}, case.dtype) for k in (slice(cut), slice(cut, None))]
    before, after = (subject.call(part).astype(wide(case.dtype)) for part in parts)
    bound = subject.bound(case) + sum(subject.bound(part) for part in parts)
    subject.hold(
        before + after,
        subject.call(case),
        bound,
        subject.scale(case),
        f"the products of the parts before and after {cut} do not add up",
    )


def treats_rows_and_columns_apart(subject: Subject, data: st.DataObject) -> None:
    """A block of the result's rows and columns is the product of those rows of A and columns of B."""
    case, rng = _matrices(subject, data, _floating(subject))
    a, b = case.arrays["a"], case.arrays["b"]
    (top, bottom), (left, right) = (sorted(rng.integers(extent + 1, size=2)) for extent in (a.shape[0], b.shape[1]))
    block = Case({"a": a[top:bottom], "b": b[:, left:right]}, {}, case.dtype)
    part = subject.call(case)[top:bottom, left:right]
    claim = f"the product of rows {top} to {bottom} and columns {left} to {right} is not that block of the whole"
    bound = subject.bound(block) + subject.bound(case)[top:bottom, left:right]
    subject.hold(subject.call(block), part, bound, subject.scale(block), claim)


def is_zero_for_an_empty_sum(subject: Subject, data: st.DataObject) -> None:
    """Without an inner extent the product is zeros; without rows or columns it is empty, and has the right shape."""
    dtype = data.draw(st.sampled_from(subject.dtypes), label="dtype")
    m, n = data.draw(st.sampled_from([(3, 5), (0, 5), (3, 0), (0, 0), (129, 65)]), label="m, n")
    k = data.draw(st.sampled_from([0, 0, 7]) if not m * n else st.just(0), label="k")
    rng = np.random.default_rng(0)
    case = subject.note(Case({"a": fill(rng, (m, k), dtype), "b": fill(rng, (k, n), dtype)}, {}, dtype))
    result = subject.call(case)
    if result.shape != (m, n):
        raise AssertionError(f"the result has shape {result.shape}, expected {(m, n)}")
    require((result == 0).all(), "an empty sum is not zero")


def keeps_small_numbers(subject: Subject, data: st.DataObject) -> None:
    """Products and operands below the smallest normal number lose no more than such must: they are not flushed to zero."""
    case, _ = _matrices(subject, data, tuple(dtype for dtype in REAL if dtype in subject.dtypes) or _real(subject))
    working = require_precision(case.dtype)
    exponent = int(np.log2(working.tiny)) - data.draw(st.integers(-4, 12), label="powers of two below the smallest normal")
    small = data.draw(st.sampled_from(["products", "a", "b"]), label="what is small")
    of_a = {"products": exponent // 2, "a": exponent, "b": 8}[small]
    of_b = {"products": exponent - exponent // 2, "a": 8, "b": exponent}[small]
    arrays = {"a": np.ldexp(case.arrays["a"], of_a), "b": np.ldexp(case.arrays["b"], of_b)}
    arrays = {name: array.astype(case.arrays[name].dtype) for name, array in arrays.items()}
    if case.dtype == "bfloat16":  # which has fewer subnormal numbers than what keeps its values
        arrays = {name: bfloat16(array) for name, array in arrays.items()}
    case = subject.note(Case(arrays, {}, case.dtype))
    subject.judge(case, subject.call(case))


PROPERTIES = (
    is_exact_on_small_integers,
    keeps_a_matrix_times_the_identity,
    keeps_the_digits_of_what_it_picks,
    confines_nan_to_its_row_and_column,
    scales_exactly_by_powers_of_two,
    propagates_special_values_as_ieee,
    reads_every_layout,
    agrees_where_one_extent_is_long,
    agrees_where_two_extents_are_long,
    takes_operands_that_share_memory,
    sees_through_structure,
    returns_fresh_memory_for_the_identity,
    commutes_with_transposition,
    commutes_with_permutations,
    is_associative,
    adds_up_over_a_split,
    treats_rows_and_columns_apart,
    is_zero_for_an_empty_sum,
    keeps_small_numbers,
)

SHARES = {
    agrees_where_two_extents_are_long: 0.1,
    keeps_the_digits_of_what_it_picks: 0.6,
    takes_operands_that_share_memory: 0.3,
    sees_through_structure: 0.4,
}


def refused(dtype: str) -> list[tuple[dict[str, Any], type[Exception]]]:
    """Return calls that must be refused by a kernel that takes a dtype."""
    ones = np.ones((2, 3), "float32" if dtype == "bfloat16" else dtype)
    scalar = ones[0, 0, ...]
    return [
        ({"a": ones, "b": ones.copy()}, ValueError),
        ({"a": ones, "b": ones[:, 0].copy()}, ValueError),
        ({"a": scalar, "b": ones}, ValueError),
        ({"a": ones, "b": scalar}, ValueError),
        ({"a": np.stack([ones] * 2), "b": np.stack([ones.T] * 3)}, ValueError),
        ({"a": [[1.0, 2.0]], "b": ones}, TypeError),
        ({"a": ones, "b": None}, TypeError),
        ({"a": ones.astype("U5"), "b": ones.T.astype("U5")}, TypeError),
        ({"a": np.ma.masked_array(ones), "b": ones.T}, TypeError),
    ]
