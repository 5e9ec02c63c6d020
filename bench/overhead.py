"""What dispatch costs: importing the registry, `get` once warm, and calling a kernel through it.

    python bench/overhead.py [--json]

A call's cost is that of the whole way through dispatch with a few numbers in arrays of the kernel's own kind, less a bare call of
the same kernel: here one that gives a result it has at hand, so that the difference does not drown in the kernel's own time.
"""

import json
import statistics
import subprocess
import sys
import timeit

import numpy as np

import registry
from kernels import _dispatch, _measure
from kernels._definition.examples import derived_example

ROUNDS, CALLS = 31, 5000


def import_seconds():
    """Return the median time that `import registry` adds to a fresh process."""
    code = "import time; start = time.perf_counter(); import registry; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(ROUNDS)]
    return statistics.median(float(run.stdout) for run in runs)


def seconds(function):
    return timeit.timeit(function, number=CALLS) / CALLS


def dispatch_seconds(variant, args, kwargs):
    """Return the median cost of dispatch for one variant, sampled in turns with the bare call."""
    op = _dispatch.Operation(registry.zoo(), variant.operation)
    bare_args, bare_kwargs = op.function(*args, **kwargs)
    bare_kwargs = {**bare_kwargs, **variant.options}
    result = registry.zoo().function(variant)(*bare_args, **bare_kwargs)

    def stub(*_, **__):
        return result

    through = _dispatch.fixed(op, variant, stub)
    assert (through(*args, **kwargs) == result).all(), "the result did not pass through"
    differences = []
    for _ in range(ROUNDS):
        through_it = seconds(lambda: through(*args, **kwargs))
        differences.append(through_it - seconds(lambda: stub(*bare_args, **bare_kwargs)))
    return statistics.median(differences)


def adapted(value, arrays):
    """Return an argument as a variant takes it."""
    if arrays == "numpy" or not isinstance(value, np.ndarray):
        return value
    import torch

    return torch.asarray(value)


def main():
    registry.get("matmul", "numpy")
    figures = {"import registry": import_seconds()}
    samples = [timeit.timeit('get("matmul", "numpy")', globals={"get": registry.get}, number=100_000) for _ in range(ROUNDS)]
    figures['get("matmul", "numpy"), warm'] = statistics.median(samples) / 100_000
    for operation in registry.operations():
        for variant in registry.variants(operation):
            if variant.available and variant.device == "cpu" and variant.arrays in ("numpy", "torch"):
                contract = registry.contract(operation)
                example = derived_example(contract.signature, 2)  # the cost does not depend on the extents
                args = tuple(adapted(value, variant.arrays) for value in example.args)
                kwargs = {key: adapted(value, variant.arrays) for key, value in example.kwargs.items()}
                registry.get(operation, variant.name)
                figures[f"{operation} {variant.name}, through dispatch"] = dispatch_seconds(variant, args, kwargs)
                if contract.signature.finite:
                    cost = dispatch_seconds(variant, args, kwargs | {"check_finite": False})
                    figures[f"{operation} {variant.name}, check_finite=False"] = cost
    if "--json" in sys.argv:
        print(json.dumps({"environment": _measure.environment(), "seconds": figures}, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:55} {_measure.duration(value)}")
    print(_measure.environment())


if __name__ == "__main__":
    main()
