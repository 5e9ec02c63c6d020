"""What is drawn for a parameter: all that its annotation allows, and nothing else."""

import types
from typing import Annotated, Literal

import annotated_types as at
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels._conformance.arguments import parameter_values
from kernels._definition.annotations import parameter

ANNOTATIONS = [
    Annotated[float, at.Interval(ge=100, le=200)],
    Annotated[float, at.Gt(0), at.Lt(1e-3)],
    Annotated[float, at.Gt(0), at.IsFinite],
    Annotated[float, at.Le(-3)],
    Annotated[int, at.Ge(1), at.Le("m")],
    Annotated[int, at.MultipleOf(8), at.Gt(0), at.Le(64)],
    Annotated[float, at.Ge(0)] | None,
    Literal["a", "b"] | None,
    float,
    int,
    bool,
]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_whatever_annotations_allow_is_drawn(annotation):
    each = parameter("p", annotation, default=None)
    implementation = types.SimpleNamespace(within=lambda name, choices: list(choices))
    drawn = set()

    @settings(max_examples=60, database=None, derandomize=True)
    @given(st.data())
    def draw(data):
        value = data.draw(parameter_values(each, implementation, {"m": 5}))
        drawn.add(value)
        assert value in each.choices or (value is None and each.optional) or each.allows(value, {"m": 5})

    draw()
    assert len(drawn) >= min(5, len(each.choices) or (2 if each.type is bool else 5))
    assert each.choices or each.allows(each.example({"m": 5}), {"m": 5})
