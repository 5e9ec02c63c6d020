"""What strangers' kernels do to a measurement, as a user meets it: each command runs in a process of its own.

A stranger's kernel needs no framework, and these processes find none, so that they start quickly.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import neighbours
import pytest
from commands import BARE, FEW_PLUGINS, ROOT, ZOO, environment, process, several

import registry
from kernels import _measure

CHEATS = '''
"""Kernels that are right when they are asked once."""
import sys, threading, time
import numpy as np
from registry import register

memory, sampled, calls, late = {}, {}, [], []

def nothing(a, b):
    return np.zeros((a.shape[0], b.shape[1]), a.dtype)

@register("matmul", "cheat_remembers_addresses", rank=5)
def remembers(a, b):
    return memory.setdefault((a.ctypes.data, b.ctypes.data), a @ b)

@register("matmul", "cheat_remembers_a_sample", rank=5)
def samples(a, b):
    key = a.ctypes.data, float(a[0, 0]) > 0, float(b[-1, -1]) > 0
    return sampled.setdefault(key, a @ b)

class Lazy:
    ndim = 2

    def __init__(self, a, b):
        self.a, self.b, self.shape, self.dtype = a, b, (a.shape[0], b.shape[1]), a.dtype

    def __array__(self, dtype=None, copy=None):
        return self.a @ self.b

@register("matmul", "cheat_is_lazy", rank=5)
def lazy(a, b):
    return Lazy(a, b)

@register("matmul", "cheat_fills_later", rank=5)
def fills_later(a, b):
    late.append(None)
    c = nothing(a, b)

    def fill():
        time.sleep(1e-3)
        c[...] = a @ b

    thread = threading.Thread(target=fill)
    thread.start()
    if len(late) < 5:
        thread.join()
    return c

@register("matmul", "cheat_is_wrong_from_the_twelfth_call", rank=5)
def twelve(a, b):
    calls.append(None)
    return a @ b if len(calls) < 12 else nothing(a, b)

TIMERS = ("timeit", "interleave", "host_clock", "take", "seconds", "runner", "pedantic")

def is_timed():
    frame = sys._getframe()
    while frame and frame.f_code.co_name not in TIMERS:
        frame = frame.f_back
    return frame is not None

@register("matmul", "cheat_looks_at_the_stack", rank=5)
def looks(a, b):
    return nothing(a, b) if is_timed() else a @ b

@register("matmul", "cheat_has_another_dtype", rank=5)
def wider(a, b):
    return a.astype("float64") @ b.astype("float64")

@register("matmul", "cheat_has_another_shape", rank=5)
def deeper(a, b):
    return (a @ b)[:, :, None]

@register("matmul", "honest", rank=5)
def honest(a, b):
    return a @ b
'''

DEADLY = '''
"""Kernels that end the process they run in, or never end."""
import ctypes, os, sys, time
import numpy as np
from registry import register

@register("matmul", "leaves", rank=5)
def leaves(a, b):
    os._exit(3)

@register("matmul", "crashes", rank=5)
def crashes(a, b):
    ctypes.string_at(0)  # the line of the crash

@register("matmul", "holds_the_lock", rank=5)
def holds(a, b):
    ctypes.PyDLL(None).sleep(600)  # the line of the wait

@register("matmul", "prints", rank=5)
def prints(a, b):
    print("chatter")
    os.write(1, b"chatter from C\\n")
    return a @ b

calls = []

@register("matmul", "crashes_late", rank=5)
def late(a, b):
    calls.append(None)
    if len(calls) > 12:
        ctypes.string_at(0)
    return a @ b

@register("matmul", "raises", rank=5)
def raises(a, b):
    raise RuntimeError("out of luck")  # the line of the error
'''


def distribution(folder, source, name="strangers"):
    """Write what an installed distribution with a module of kernels of matmul leaves on the path."""
    (folder / f"{name}.py").write_text(source)
    neighbours.distribution(folder, name, {"matmul": name})


def line_of(folder, comment, name="strangers"):
    """Return ``file:line`` of the line with a comment."""
    path = folder / f"{name}.py"
    number = next(i for i, line in enumerate(path.read_text().splitlines(), 1) if comment in line)
    return f"{path}:{number}"


@pytest.fixture(scope="module")
def cheats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cheats")
    distribution(folder, CHEATS)
    return folder


def test_who_is_right_only_when_asked_once_gets_no_time(cheats):
    rows = json.loads(process("compare", "matmul", "--size", "tiny", "--json", cwd=cheats, code=1).stdout)["rows"]
    statuses = {row["variant"]: (row["status"], row["reason"]) for row in rows}
    assert statuses["honest"][0] == "timed"
    wrong = {name: reason for name, (status, reason) in statuses.items() if status == "wrong"}
    assert set(wrong) == set(re.findall(r'"(cheat_\w+)"', CHEATS))
    for name in ("cheat_remembers_addresses", "cheat_is_wrong_from_the_twelfth_call", "cheat_looks_at_the_stack"):
        assert wrong[name].startswith("in a timed run, off by "), wrong[name]
    assert "returned a Lazy, expected a NumPy array" in wrong["cheat_is_lazy"]
    assert (
        "returned a NumPy array of float64, shape (1, 4), expected a NumPy array of float32" in wrong["cheat_has_another_dtype"]
    )
    assert "of float32, shape (1, 4, 1), expected" in wrong["cheat_has_another_shape"]


def test_pytest_bench_gives_them_no_time_either(cheats):
    report = cheats / "report.json"
    command = ["pytest", "bench", "-q", "-p", "no:cacheprovider", "-k", "matmul-tiny and (cheat or honest)"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--benchmark-json", report],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(BARE, cheats, **FEW_PLUGINS),
        check=False,
    )
    names = re.findall(r'"(cheat_\w+)"', CHEATS)
    assert f"{len(names)} failed, 1 passed" in done.stdout, done.stdout
    assert [each["param"].rpartition("-")[2] for each in json.loads(report.read_text())["benchmarks"]] == ["honest"]


def test_contents_are_new_each_time_at_the_same_addresses():
    contract = registry.contract("matmul")
    trial = _measure.Trial(contract, contract.example("tiny"), "float32")
    seen = []

    def remembers(a, b):
        seen.append((a.ctypes.data, b.ctypes.data, a.tobytes(), b.tobytes()))
        return a @ b

    _measure.Runs(trial, remembers).seconds(20)
    assert len({each[:2] for each in seen}) == 1
    assert len({each[2] for each in seen}) == len({each[3] for each in seen}) == 20


def test_two_arguments_that_are_views_of_one_array_stay_so(tmp_path):
    contract = registry.contract("matmul")
    example = contract.from_file({"a": registry.contract("matmul").example("tiny").args[0]})
    trial = _measure.Trial(contract, example, "float32")
    runs = _measure.Runs(trial, lambda a, b: a @ b)
    runs.fill()
    a, b = trial.example.args
    assert (b == a.T).all()
    runs()
    runs.keep()
    assert runs.judge("working").passes


@pytest.fixture(scope="module")
def deadly(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deadly")
    distribution(folder, DEADLY)
    return folder


def test_compare_outlives_its_kernels_and_names_them(deadly):
    done = process("compare", "matmul", "--size", "tiny", "--timeout", "3", "--json", cwd=deadly, code=1)
    rows = {row["variant"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["leaves"]["reason"].startswith("it ended its process with exit code 3 (")
    assert f"{deadly / 'strangers.py'}:" in rows["leaves"]["reason"]
    assert rows["crashes"]["reason"] == f"it ended its process with the signal SIGSEGV ({line_of(deadly, 'of the crash')})"
    held = f"a call did not return within 3 s; --timeout sets another limit ({line_of(deadly, 'of the wait')})"
    assert rows["holds_the_lock"]["reason"] == held
    assert rows["raises"]["reason"] == f"RuntimeError: out of luck ({line_of(deadly, 'of the error')})"
    assert "SIGSEGV" in rows["crashes_late"]["reason"]
    assert rows["prints"]["status"] == rows["numpy"]["status"] == "timed"
    assert "chatter from C" in done.stderr


def test_check_names_what_ends_its_process_and_stops_at_the_first_cause(deadly):
    kernels = "strangers:crashes --json", "crashes_late --examples 2 --json", "holds_the_lock --timeout 3", "raises --examples 2"
    said = several(*(f"check matmul {each}" for each in kernels), cwd=deadly, codes=(1, 1, 1, 1))
    crashes, late, held, raises = (each.stdout for each in said)
    place = line_of(deadly, "of the crash")
    verdict = json.loads(crashes)
    assert [row["passed"] for row in verdict["properties"]] == [False]
    assert verdict["properties"][0]["failure"].endswith(f"it ended its process with the signal SIGSEGV ({place})")
    verdict = json.loads(late)
    assert verdict["properties"][-1]["place"].startswith(f"{deadly / 'strangers.py'}:")
    assert verdict["not_asked"]
    assert f"--timeout sets another limit ({line_of(deadly, 'of the wait')})" in held
    assert raises.count("failed: RuntimeError: out of luck") == 1
    assert f"at {line_of(deadly, 'of the error')}" in raises
    assert "further properties were not asked; --all asks them too" in raises


WAITS = '''
"""A kernel that says that it was called, and waits."""
import pathlib, time
from registry import register

@register("matmul", "waits", rank=10_000)
def waits(a, b):
    pathlib.Path("process").write_text(f"{__import__('os').getpid()}")
    time.sleep(600)

calls = []

@register("matmul", "waits_when_timed", rank=9_999)
def later(a, b):
    calls.append(None)
    if len(calls) == 30:
        pathlib.Path("process").write_text(f"{__import__('os').getpid()}")
        time.sleep(600)
    return a @ b
'''
# A command that is started in the background ignores Ctrl-C, as shells have it; here it shall not, wherever the tests run.
FOREGROUND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import kernel_zoo; kernel_zoo.main()"


def interrupted(folder, *args):
    """Start a command, wait until its kernel waits, send Ctrl-C; return the exit code, output and the kernel's process."""
    command = [sys.executable, "-c", FOREGROUND, *args]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment(BARE), **pipes) as running:
        while not (folder / "process").exists() or not (folder / "process").read_text():
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    kernel = int((folder / "process").read_text())
    (folder / "process").unlink()
    return running.returncode, out, err, kernel


def is_running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_ctrl_c_shows_what_was_measured_and_leaves_nothing_behind(tmp_path):
    distribution(tmp_path, WAITS)
    before = {path for path in tmp_path.rglob("*") if "__pycache__" not in str(path)}
    code, out, err, kernel = interrupted(tmp_path, "check", "matmul", "waits")
    assert (code, is_running(kernel)) == (130, False), err
    assert err.strip().endswith("kernel-zoo: interrupted")
    distribution_file = tmp_path / "strangers.py"
    distribution_file.write_text(WAITS.replace('@register("matmul", "waits", rank=10_000)\n', ""))
    code, out, err, kernel = interrupted(tmp_path, "compare", "matmul", "--size", "tiny", "--json", "--plot", "ladder.png")
    assert (code, is_running(kernel)) == (130, False), err
    assert err.strip().endswith("kernel-zoo: interrupted")
    found = json.loads(out)
    assert found["interrupted"]
    rows = {row["variant"]: row for row in found["rows"]}
    assert rows["numpy"]["status"] == "timed"
    assert rows["waits_when_timed"]["reason"] == "interrupted before it was timed"
    assert {path for path in tmp_path.rglob("*") if "__pycache__" not in str(path)} == before


def test_a_kernel_ends_with_its_command(tmp_path):
    """Whoever kills the command, without a chance to tidy up, leaves no kernel behind."""
    distribution(tmp_path, WAITS)
    command, silent = [*ZOO, "check", "matmul", "waits"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, env=environment(BARE), **silent) as running:
        while not (tmp_path / "process").exists() or not (tmp_path / "process").read_text():
            assert running.poll() is None
            time.sleep(0.05)
        running.kill()
    for _ in range(1200):  # it sees the end of its command within a moment; only a failure waits for a minute
        if not is_running(int((tmp_path / "process").read_text())):
            return
        time.sleep(0.05)
    raise AssertionError("the kernel goes on without its command")


MARKUP = '''
"""C[i, j] is the sum over [/usr] of A[i, k]."""
from registry import register

@register("matmul", "[red]", rank=5)
def matmul(a, b):
    return (a @ b) * float("nan")
'''


def test_names_are_no_markup_and_json_knows_no_infinity(tmp_path):
    distribution(tmp_path, MARKUP)
    listed = process("list", "matmul", cwd=tmp_path).stdout
    assert "C[i, j] is the sum over [/usr] of A[i, k]." in listed
    assert "[red]" in listed
    assert listed.count("needs a CUDA device") <= 1  # a reason is given once, and hides no idea

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = process("compare", "matmul", "--size", "tiny", "--json", cwd=tmp_path, code=1).stdout
    rows = {row["variant"]: row for row in json.loads(text, parse_constant=refuse)["rows"]}
    assert (rows["[red]"]["status"], rows["[red]"]["error_over_bound"]) == ("wrong", None)
    assert rows["numpy"]["spread"] >= 0


@pytest.mark.parametrize("encoding", ["ascii", "cp932"])
def test_a_terminal_of_few_letters_and_40_columns_loses_no_name(encoding, tmp_path):
    narrow = environment(BARE, PYTHONIOENCODING=encoding, COLUMNS="40", FORCE_COLOR="1")
    done = subprocess.run([*ZOO, "list", "matmul"], capture_output=True, env=narrow, check=True)
    shown = done.stdout.decode(encoding)
    assert all(variant.name in shown for variant in registry.variants("matmul"))


def test_a_busy_machine_is_said(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0, 0))
    assert "a load of 99.0 on" in _measure.busy()
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0, 0))
    assert _measure.busy() is None
