"""The torch code of CUDA variants, on tensors without data: all it makes lies on its arguments' device, and nothing is read back.

An operation on tensors of two devices raises, and so does looking at a value, which on a GPU would wait for it. Fake tensors
on "cuda" itself will not do: a build of torch for the CPU refuses to slice them.
"""

import pytest

import registry
from kernels import _dispatch

READS = "difference_map-definition_cuda"  # its definition looks at the largest difference, and waits for the device once
VARIANTS = {
    f"{operation}-{variant.name}": variant
    for operation in registry.operations()
    for variant in registry.variants(operation)
    if variant.device == "cuda" and variant.requires == ("torch",) and f"{operation}-{variant.name}" != READS
}


@pytest.mark.parametrize("size", ["tiny", "lecture"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_torch_code_stays_on_its_device(variant, size):
    torch = pytest.importorskip("torch")
    function = registry.zoo().load(variant)
    op = _dispatch.Operation(registry.zoo(), variant.operation)
    example = op.contract.example(size)
    args, kwargs = op.function(*example.args, **example.kwargs)
    expected = op.contract.reference(*args, **kwargs, dtype="float32").shape
    tensors = {}

    def without_data(value):
        return tensors.setdefault(id(value), torch.empty(value.shape, device="meta")) if hasattr(value, "shape") else value

    args, kwargs = [without_data(value) for value in args], {key: without_data(value) for key, value in kwargs.items()}
    weights = variant.limits.get("kernel", getattr(op.contract, "KERNELS", ()))
    for choice in [{"kernel": kernel} for kernel in weights] or [{}]:
        result = function(*args, **kwargs | choice, **variant.options)
        assert (result.device.type, result.dtype, tuple(result.shape)) == ("meta", torch.float32, expected)
