"""Machine code on disk: found again by the next process, never stale, and never in the way of a call."""

import errno
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from children import run_unless_stuck

import registry

pytest.importorskip("numba")
from kernels._compute import jit

ROOT = Path(registry.__file__).parent
CALL = """
import hashlib, sys, registry
operation, name, options = sys.argv[1], sys.argv[2], eval(sys.argv[3])
example = registry.contract(operation).example("lecture")
args, kwargs = example.args, {**example.kwargs, **options}
print(hashlib.sha256(registry.get(operation, name)(*args, **kwargs).tobytes()).hexdigest())
"""
# Numba says how long each function took to compile; one that came from the cache took no time.
COMPILES = """
from numba.core import event
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
"""


def call(operation="matmul", name="numba_dot", options="{}", root=ROOT, **environment):
    """Make a small call in a new process; return its result, and how many functions were compiled for it."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    environment = {**inherited, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    code = f"{COMPILES}{CALL}print(sum(e.is_start for _, e in compiled.buffer))"
    command = [sys.executable, "-c", code, operation, name, options]
    done = run_unless_stuck(command, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr
    result, compiled = done.stdout.split()
    return result, int(compiled)


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the zoo that may be edited."""
    root = tmp_path / "zoo"
    shutil.copytree(ROOT / "kernels", root / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "registry.py", root)
    return root


def test_the_next_process_finds_functions_that_close_over_others_and_an_edited_one_leaves_no_old_code(copied, tmp_path):
    def step():
        variant = "meanshift_step", "numba", "{'kernel': 'epanechnikov'}"
        return call(*variant, root=copied, NUMBA_CACHE_DIR=str(tmp_path / "cache"), NUMBA_OPT="1")  # compiles in less time

    before, compiled = step()
    assert compiled
    assert step() == (before, 0)
    helper = copied / "kernels" / "meanshift_step" / "_compiled.py"
    text = helper.read_text()
    assert text.count("splat(-c[0]), one)") == 1
    helper.write_text(text.replace("splat(-c[0]), one)", "splat(-c[0]), one + one)"))
    after, compiled = step()
    assert compiled
    assert after != before


def test_another_processor_has_code_of_its_own_width(tmp_path):
    where = {"NUMBA_CACHE_DIR": str(tmp_path)}
    here = call("softmax", "numba", **where)
    generic = call("softmax", "numba", NUMBA_CPU_NAME="generic", **where)
    assert here[1]
    assert generic[1]
    assert call("softmax", "numba", **where) == (here[0], 0)
    assert call("softmax", "numba", NUMBA_CPU_NAME="generic", **where) == (generic[0], 0)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="elsewhere every register has 16 bytes")
@pytest.mark.parametrize(("features", "width"), [("", 16), ("+avx", 32), ("+avx,+avx512f", 64), ("-avx512f,-avx", 16)])
def test_vectors_are_as_wide_as_what_numba_compiles_for(features, width):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", "from kernels._compute import simd; print(simd.BYTES)"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == width


def test_where_nothing_can_be_written_a_kernel_compiles_without_a_cache(copied):
    right, _ = call()
    for folder in (copied / "kernels" / "matmul", copied / "kernels"):
        (folder / "__pycache__").write_text("not a folder")
    nowhere = str(copied / "registry.py" / "home")
    result, compiled = call(root=copied, HOME=nowhere, XDG_CACHE_HOME=nowhere, LOCALAPPDATA=nowhere)
    assert compiled
    assert result == right


def test_damaged_files_are_compiled_anew_and_mended(tmp_path):
    right, _ = call(NUMBA_CACHE_DIR=str(tmp_path))
    files = {path: path.stat().st_size for path in tmp_path.rglob("*.nb?")}
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result, compiled = call(NUMBA_CACHE_DIR=str(tmp_path))
    assert result == right
    assert compiled
    assert call(NUMBA_CACHE_DIR=str(tmp_path)) == (right, 0)
    assert files == {path: path.stat().st_size for path in tmp_path.rglob("*.nb?")}


def test_without_the_compiler_compiled_variants_say_why_and_others_serve():
    code = """
import numpy as np, registry
for operation in registry.operations():
    for variant in registry.variants(operation):
        if "numba" in variant.requires and variant.device == "cpu":
            assert "NUMBA_DISABLE_JIT" in variant.reason and "unset" in variant.reason, variant
ones = np.ones((2, 2))
assert (registry.get("matmul")(ones, ones) == 2).all()
try:
    registry.get("matmul", "numba")
except registry.VariantUnavailable as error:
    assert "NUMBA_DISABLE_JIT" in str(error)
else:
    raise SystemExit("it is there")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# In one process: each `dispatcher` is what a new process would make of the function.


def double(x):
    return FACTOR * x


FACTOR = 2.0


def from_cache():
    """Return whether a new dispatcher found its code, after a call that must be right."""
    dispatcher = jit.jit(double)
    assert dispatcher(3.0) == FACTOR * 3.0
    return bool(dispatcher._cache_hits)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.config, "CACHE_DIR", str(tmp_path))
    assert not from_cache()
    assert from_cache()
    return tmp_path / "kernel-zoo"


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"\x80\x05."], ids=["empty", "foreign", "short"])
def test_whatever_a_file_holds_is_no_harm(folder, content):
    for path in folder.iterdir():
        path.write_bytes(content)
    assert not from_cache()
    assert from_cache()


def test_a_folder_that_disappears_is_made_again(folder):
    shutil.rmtree(folder)
    assert not from_cache()
    assert from_cache()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EMFILE, errno.EROFS])
def test_a_file_that_cannot_be_written_leaves_nothing_behind(folder, monkeypatch, code):
    write = Path.write_bytes

    def refuse(path, content):
        write(path, content[:10])
        raise OSError(code, os.strerror(code))

    shutil.rmtree(folder)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert not from_cache()
    assert not list(folder.iterdir())


def test_a_constant_of_the_process_is_part_of_the_name(folder, monkeypatch):
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert not from_cache()
    assert from_cache()


@pytest.mark.parametrize("setting", ["OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "USING_SVML"])
def test_a_setting_that_changes_the_code_is_part_of_the_name(folder, monkeypatch, setting):
    monkeypatch.setattr(jit.config, setting, int(not getattr(jit.config, setting)))
    assert not from_cache()


# Other versions of Numba: the cache is made of private parts, and without one of them every call compiles.


@pytest.mark.parametrize(
    "part",
    [
        "numba.core.compiler.CompileResult._reduce",
        "numba.core.compiler.CompileResult._rebuild",
        "numba.core.codegen.CPUCodegen.magic_tuple",
    ],
)
def test_a_private_part_that_changed_costs_the_cache_alone(folder, monkeypatch, part):
    monkeypatch.delattr(part)
    shutil.rmtree(folder)
    assert not from_cache()
    assert not from_cache()


@pytest.mark.parametrize("part", ["numba.core.caching.NullCache", "numba.core.serialize.dumps", "numba.misc.appdirs.AppDirs"])
def test_without_a_private_part_kernels_compile_without_a_cache(tmp_path, monkeypatch, part):
    monkeypatch.setattr(jit.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.delattr(part)
    monkeypatch.delitem(sys.modules, "kernels._compute.sealed_cache")
    spec = importlib.util.spec_from_file_location("kernels._compute.jit_of_another_numba", jit.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert other.SealedCache is None
    assert other.jit(double)(3.0) == 6.0
    assert not list(tmp_path.iterdir())


# Kernels for a device, compiled as far as is possible without one: all but the loading.

DEVICE = """
import hashlib, json, multiprocessing, os, sys, types
from pathlib import Path
import torch
from numba.cuda import codegen, dispatcher
from numba import float32, types as numba_types
for kind, name in ((dispatcher._Kernel, "bind"), (codegen.JITCUDACodegen, "magic_tuple")):
    if not hasattr(kind, name):
        raise SystemExit(kind.__name__ + " has no " + name + ": a stand-in for a device must stand in for something else")
device = types.SimpleNamespace(compute_capability=(8, 0))
dispatcher.get_current_device = lambda: device
codegen.devices = types.SimpleNamespace(get_context=lambda: types.SimpleNamespace(device=device))
dispatcher._Kernel.bind = lambda kernel: None
codegen.JITCUDACodegen.magic_tuple = lambda _: ("a stand-in's", (8, 0))

def compiled():
    from kernels.meanshift_step import numba_cuda as step
    kernel = step.narrow(float32, step.GAUSSIAN, 2, 1, False)
    points = float32[:, ::1]
    made = kernel.compile(numba_types.void(points, points, float32, points))
    code = hashlib.sha256(made._codelibrary.get_asm_str(cc=(8, 0)).encode()).hexdigest()
    return code, sum(kernel._cache_hits.values())

def in_a_process():
    assert "kernels" not in sys.modules  # each process imports our files anew
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(compiled)

found = [in_a_process(), in_a_process()]
helper = Path("kernels/_compute/cuda.py")
text = helper.read_text()
assert text.count("ex2.approx.ftz.f32") == 1
helper.write_text(text.replace("ex2.approx.ftz.f32", "ex2.approx.f32"))
print(json.dumps([*found, in_a_process()]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork, and torch takes seconds to import")
def test_the_next_process_finds_a_devices_kernels_and_an_edited_helper_leaves_no_old_code(copied, tmp_path):
    pytest.importorskip("numba_cuda")
    environment = {
        **os.environ,
        "PYTHONPATH": str(copied),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(tmp_path / "c"),
    }
    done = run_unless_stuck([sys.executable, "-c", DEVICE], env=environment, cwd=copied)
    assert done.returncode == 0, done.stderr
    (before, found), again, (after, found_after) = json.loads(done.stdout)
    assert not found
    assert again == [before, 1]
    assert not found_after
    assert after != before
