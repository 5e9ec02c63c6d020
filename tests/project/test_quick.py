"""The tests for a first look (`pytest -m quick`) look at every operation."""

import pytest

import registry


@pytest.fixture
def quick(request):
    return [item for item in request.session.items if item.get_closest_marker("quick")]


def test_this_one_is_quick(request):
    assert request.node.get_closest_marker("quick")


def test_a_rule_chooses_no_device_and_no_compiler(quick):
    for item in quick:
        assert not item.get_closest_marker("cuda")
        assert not item.get_closest_marker("slow")
        variant = getattr(item, "callspec", None) and item.callspec.params.get("variant")
        assert variant is None or isinstance(variant, str) or (variant.available and "numba" not in variant.requires)


def test_every_operation_has_a_kernel_under_every_property(quick):
    from kernels import _conformance

    chosen = [item.callspec.params for item in quick if item.originalname == "test_variant_has_property"]
    if not chosen:
        pytest.skip("the tests of conformance are not in this run")
    for operation in registry.operations():
        properties = {values["property_"] for values in chosen if values["variant"].operation == operation}
        assert properties == set(_conformance.all_properties(registry.contract(operation)))
