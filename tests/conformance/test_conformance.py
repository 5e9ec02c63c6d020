"""Every variant in the registry against every property of its operation. No variant is named here."""

import secrets

import pytest
from hypothesis import settings

import registry
from kernels import _conformance

VACUOUS = 0.05  # the share of entries whose bound may say nothing before a property counts as untested


def trials():
    """One test for each variant and property; a variant that cannot run here shows as one that is skipped, with its reason."""
    for operation in registry.operations():
        properties = _conformance.all_properties(registry.contract(operation))
        for variant in registry.variants(operation):
            marks = [pytest.mark.cuda] if variant.device == "cuda" else []
            if not variant.available:
                yield pytest.param(variant, None, id=f"{operation}-{variant.name}", marks=marks)
                continue
            for property_ in properties:
                yield pytest.param(variant, property_, id=f"{operation}-{variant.name}-{property_.__name__}", marks=marks)


@pytest.mark.parametrize(("variant", "property_"), list(trials()))
def test_variant_has_property(variant, property_):
    if not variant.available:
        pytest.skip(str(variant.reason))
    implementation = _conformance.implementation_of(registry.zoo(), variant)
    seed = 0 if settings.default.derandomize else secrets.randbits(32)
    print(f"seed {seed}")  # shown with a failure
    record = _conformance.run(property_, implementation, settings.default.max_examples, seed)
    assert record.vacuous_share <= VACUOUS, "too many bounds said nothing: this property tested too little"


def test_something_was_on_trial():
    on_trial = {v.operation for op in registry.operations() for v in registry.variants(op) if v.available}
    assert on_trial == set(registry.operations())
