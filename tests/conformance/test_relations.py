"""What an operation gets for its signature and for its symmetries, stated as data; and that a false statement shows."""

import numpy as np
import pytest
from catalogues import zoo_of

from kernels import _conformance
from kernels._conformance import calls, draws, general, relations
from kernels._conformance.implementation import same_bits
from registry import ConformanceError

# Operations in a line of mathematics each, and the symmetries of three of them.
DEFINITIONS = {
    "shares": (
        'x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]',
        "e = xp.exp(x - pivot(xp.max(x, axis=-1, keepdims=True)))\n    return e / xp.sum(e, axis=-1, keepdims=True)",
    ),
    "products": ('x: Float[Array, "m"], y: Float[Array, "n"]) -> Float[Array, "m n"]', "return x[:, None] * y[None, :]"),
    "distances": (
        'x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]',
        "return xp.sum(xp.abs(x[:, None, :] - y[None, :, :]), axis=-1)",
    ),
}
SYMMETRIES = {
    "shares": {"PERMUTES": "n", "SHIFTS": ({"x": ""},)},
    "products": {"PERMUTES": "m n", "MIRRORS": "m n", "SCALES": ({"x": 1, "result": 1}, {"y": 1, "result": 1})},
    "distances": {
        "PERMUTES": "n m d",
        "MIRRORS": "d",
        "SHIFTS": ({"x": "d", "y": "d"},),
        "SCALES": ({"x": 1, "y": 1, "result": 1},),
        "SPLITS": "d",
    },
}


def shares(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def products(x, y):
    return np.multiply.outer(x, y)


def distances(x, y):
    return np.abs(x[:, None] - y).sum(axis=-1)


KERNELS = {"shares": shares, "products": products, "distances": distances}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A catalogue of operations that are their definitions and a few lines of symmetries."""
    files = {}
    for name, (signature, body) in DEFINITIONS.items():
        files[name] = (
            f'"""{name}."""\n\nfrom __future__ import annotations\n\nfrom array_api_compat import array_namespace\n\n'
            "from kernels._definition.rounding import pivot\n\n\n"
            f'def {name}({signature}:\n    """{name}."""\n    xp = array_namespace(x)\n    {body}\n'
        )
        stated = "".join(f"{key} = {value!r}\n" for key, value in SYMMETRIES[name].items())
        files[f"{name}/_properties"] = f'"""What is asked of {name}."""\n\n{stated}'
    with zoo_of(tmp_path_factory.mktemp("relations"), files) as made:
        yield made


def names(properties):
    return [property_.__name__ for property_ in properties]


@pytest.mark.parametrize("operation", DEFINITIONS)
def test_symmetries_are_lines_of_data(zoo, operation):
    contract = zoo.contract(operation)
    given = {"reads_every_layout", "agrees_where_extents_are_long", "takes_empty_extents", "keeps_nothing_of_the_call_before"}
    expected = {relations.STATEMENTS[key] for key in SYMMETRIES[operation].keys() - {"MIRRORS"}}
    properties = relations.of(contract)
    assert expected <= set(properties)
    assert given - ({"keeps_nothing_of_the_call_before"} if operation == "shares" else set()) <= set(names(properties))
    assert ("takes_arrays_that_share_memory" in names(properties)) == (operation != "shares")
    assert all(property_.__doc__ for property_ in properties)
    with np.errstate(all="ignore"):
        zoo.check(operation, KERNELS[operation], batches=operation == "shares", max_examples=10)


FALSE = [
    ("shares", "SCALES", ({"x": 1, "result": 1},)),
    ("shares", "SHIFTS", ({"x": "n"},)),
    ("shares", "REPEATS", "n"),
    ("shares", "SPLITS", "n"),
    ("products", "SHIFTS", ({"x": "", "y": ""},)),
    ("products", "SCALES", ({"x": 1}, {"y": 1, "result": 1})),
    ("distances", "MIRRORS", "n d"),
    ("distances", "REPEATS", "d"),
    ("distances", "SHIFTS", ({"x": "d"},)),
]


@pytest.mark.parametrize(("operation", "statement", "value"), FALSE, ids=str)
def test_a_symmetry_that_the_definition_lacks_shows(zoo, operation, statement, value, monkeypatch):
    """A relation judges the definition too: a right kernel fails it where the statement is false."""
    monkeypatch.setattr(_conformance, "SHRINKS", False)
    implementation = _conformance.implementation_from(zoo, operation, KERNELS[operation], batches=operation == "shares")
    own = draws.properties_of(implementation.contract)
    monkeypatch.setattr(own, statement, value, raising=False)
    property_ = relations.STATEMENTS["PERMUTES" if statement == "MIRRORS" else statement]
    with pytest.raises(ConformanceError):
        _conformance.run(property_, implementation, 200)


def test_the_same_bits_are_the_same_where_they_are_no_number():
    for dtype in ("float32", "longdouble", "clongdouble"):
        array = np.array([1, np.nan, np.inf], dtype)
        assert same_bits(array, array.copy())
        assert not same_bits(array, np.array([1, 2, np.inf], dtype))


def test_general_properties_and_relations_have_names_of_their_own():
    properties = [*general.GENERAL, *relations.SHARES, *relations.STATEMENTS.values()]
    assert len({property_.__name__ for property_ in properties}) == len(set(properties))


def test_a_long_extent_is_asked_past_each_tile_in_one_example(zoo):
    """Which extents are long hangs on no chance: what is wrong past 65,536 entries is refused by the first example."""
    implementation = _conformance.implementation_from(zoo, "products", products)
    asked = []
    case = _conformance.Implementation.note
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_conformance.Implementation, "note", lambda self, each: asked.append(each) or case(self, each))
        _conformance.run(calls.agrees_where_extents_are_long, implementation, _conformance.LEAST_FOR_LARGE)
    for axis in ("x", "y"):
        assert {256, 512, 1024, 2048, 4096, 2**15, 2**16} <= {(len(each.arrays[axis]) + 1) // 256 * 256 for each in asked}
    assert any((each.arrays["x"] >= 0).all() or (each.arrays["x"] <= 0).all() for each in asked)
