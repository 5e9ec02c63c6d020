"""Every CUDA kernel written by hand under NVIDIA's compute-sanitizer: accesses out of bounds, races, reads of what nobody wrote.

    python bench/sanitize.py [--tool memcheck] [OPERATION [VARIANT]]
    python bench/sanitize.py --alone [OPERATION [VARIANT]]     the small run itself, without the sanitizer

A process for each variant and tool makes a small run at sizes that cross tiles (`crossing_tiles` in bench/works), and holds its
results to their bounds. Ends with 1 on any report.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import works

import registry

STAND_IN = os.environ.get("NUMBA_ENABLE_CUDASIM") == os.environ.get("TRITON_INTERPRET") == "1"  # tiles are smaller there
DEVICE = "cpu" if STAND_IN else "cuda"
TOOLS = {"memcheck": ("--report-api-errors", "no"), "racecheck": (), "initcheck": ()}  # torch asks the driver what may fail


def written_by_hand(operation=None, name=None):
    """Return the CUDA variants that are kernels of our own, in Numba or Triton."""
    variants = [v for op in registry.operations() for v in registry.variants(op) if v.device == "cuda"]
    chosen = [v for v in variants if operation in (None, v.operation) and name in (None, v.name)]
    return [v for v in chosen if {"numba", "triton"} & set(v.requires)]


def small_run(variant):
    """Call a variant's function on a few arrays of each dtype, and hold its results to their bounds; return how many."""
    import torch

    from kernels import _dispatch
    from kernels._definition.numerics import compare
    from kernels._dispatch.choice import beyond_limits

    op, count = _dispatch.Operation(registry.zoo(), variant.operation), 0
    calls = works.of(variant.operation, "crossing_tiles")
    if calls is None:
        raise click.ClickException(f"bench/works/{variant.operation}.py has no function crossing_tiles")
    function = registry.zoo().load(variant)  # behind dispatch, which knows no stand-ins
    for dtype in variant.dtypes:

        def tensor(value, dtype=dtype):
            return torch.from_numpy(value).to(DEVICE, getattr(torch, dtype)) if isinstance(value, np.ndarray) else value

        def seen(value):
            return value.double().cpu().numpy() if isinstance(value, torch.Tensor) else value

        for args, kwargs in calls(STAND_IN):
            args, kwargs = op.function(*map(tensor, args), **{key: tensor(value) for key, value in kwargs.items()})
            if beyond_limits(op, variant, args, kwargs):
                continue
            result = seen(function(*args, **kwargs, **variant.options))
            judged = [seen(value) for value in args], {key: seen(value) for key, value in kwargs.items()} | {"dtype": dtype}
            bound = op.contract.bound(*judged[0], **judged[1], precision=variant.precision)
            agreement = compare(result, op.contract.reference(*judged[0], **judged[1]), bound)
            assert agreement.passes, f"{variant.name}, {dtype}: off by {agreement.share:.3g} times its bound"
            count += 1
    makers = {key: value for key, value in vars(sys.modules[variant.module]).items() if hasattr(value, "cache_info")}
    idle = [key for key, maker in makers.items() if not maker.cache_info().currsize]
    assert not idle, f"{variant.name}: no call came to {', '.join(idle)}"
    return count


def sanitized(sanitizer, tool, variant):
    """Return what a tool says of a variant's small run, or None if it has nothing to report."""
    command = [sanitizer, "--tool", tool, *TOOLS[tool], "--error-exitcode", "1", "--target-processes", "application-only"]
    command += ["--launch-timeout", "120"]  # seconds until a process uses the device; torch takes some to import
    command += [sys.executable, __file__, "--alone", variant.operation, variant.name]
    # Each tensor an allocation of its own, or accesses past one would meet another.
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(registry.__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    nothing = done.returncode == 0 and re.search(r"SUMMARY: 0 (errors|hazards)", done.stdout)
    return None if nothing else done.stdout


@click.command()
@click.option("--tool", "tools", type=click.Choice(list(TOOLS)), multiple=True, help="This tool alone.")
@click.option("--alone", is_flag=True, help="Make the small run in this process, without the sanitizer.")
@click.argument("operation", required=False)
@click.argument("variant", required=False)
def main(tools, alone, operation, variant):
    """Run every kernel written by hand under compute-sanitizer."""
    variants = written_by_hand(operation, variant)
    needs = {reason for v in variants if not STAND_IN and (reason := v.reason)}
    sanitizer = shutil.which("compute-sanitizer", path=os.environ.get("PATH", "") + os.pathsep + "/usr/local/cuda/bin")
    if not (alone or sanitizer):
        needs.add("needs compute-sanitizer, which comes with the CUDA toolkit, on the path")
    if needs or not variants:
        raise click.ClickException("; ".join(sorted(needs)) or "no such variant is written by hand")
    reported = False
    for each in variants:
        if alone:
            click.echo(f"{each.operation} {each.name}: {small_run(each)} calls within their bounds")
            continue
        for tool in tools or TOOLS:
            report = sanitized(sanitizer, tool, each)
            click.echo(f"{each.operation} {each.name} {tool}: {'reported' if report else 'nothing to report'}")
            reported |= report is not None
            click.echo("\n".join((report or "").splitlines()[-40:]), nl=bool(report))
    sys.exit(reported)


if __name__ == "__main__":
    main()
