"""What the CUDA lanes know of each operation's kernels, a file for each: how to damage them, and what they may take of a device.

`DAMAGE` is a list of a variant's name, a part of its file, and what takes its place. `numba_builds(every)` yields for each build
what it is, the kernel, its arguments' types, the threads of a block, and its budget of registers; `triton_builds(every)` yields
what it is, the function, its arguments' types, those that are multiples of 16, constants, warps, stages, and its budget. An
operation without such kernels has neither. `every` asks for all specialisations.
"""

import importlib
import pkgutil

MODULES = {module.name: importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)}
DAMAGE = [(f"{name}-{variant}", old, new) for name, module in MODULES.items() for variant, old, new in module.DAMAGE]
TRITON = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}  # as Triton writes them


def builds(of, every):
    """Yield the builds "numba_builds" or "triton_builds" of all operations."""
    for module in MODULES.values():
        yield from getattr(module, of, lambda _: ())(every)
