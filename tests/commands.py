"""The command line in this process, where no interpreter starts; and a machine on which one starts quickly."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import kernel_zoo
import registry
from kernels._cli import child, sessions

ROOT = Path(registry.__file__).parent
BARE = f"{Path(__file__).parent / 'bare_machine'}{os.pathsep}{ROOT}"  # of an interpreter without torch, numba and Dask
ZOO = [sys.executable, "-m", "registry"]
# Of a child that runs pytest: no plugin that happens to be installed is loaded, which takes a second, but that of the benchmarks.
FEW_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_benchmark.plugin"}


def environment(*path, **more):
    """Return the environment of a child: a path for modules, a wide terminal, and nothing that a worker of pytest has set."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return {**outside, "PYTHONPATH": os.pathsep.join(map(str, path)), "COLUMNS": "300", **more}


def process(*arguments, cwd, code=0):
    """Run `kernel-zoo` in a process without the frameworks, in a folder whose distributions count as installed."""
    command = [*ZOO, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(BARE), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


class InThisProcess:
    """A stand-in for `Child`, without a process and limits of its own: it is both the child and the limit."""

    def __init__(self, session, arguments, timeout):
        self.session, self.arguments, self.made = session, arguments, None

    def ask(self, method, *args, file=None):
        try:
            if self.made is None:
                self.made = getattr(sessions, self.session)(self, **self.arguments)
            return getattr(self.made, method)(*args)
        except BaseException as error:
            raise child._portable(error) from None

    def close(self):
        pass

    start = stop = start_import = lambda self, *_: None

    def on_each_call(self, function, *, stops=False):
        return function


def zoo(*arguments, code=0):
    """Run `kernel-zoo` in this process; return what it said, once its exit code is the one expected."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for command in ("check", "compare", "tune"):
            patch.setattr(importlib.import_module(f"kernels._cli.{command}"), "Child", InThisProcess)
        patch.setattr(sys, "argv", ["kernel-zoo", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            kernel_zoo.main()
    done = SimpleNamespace(stdout=out.buffer.getvalue().decode(), stderr=err.buffer.getvalue().decode())
    assert ended.value.code == code, done
    return done


SEVERAL = """
import contextlib, io, json, sys, kernel_zoo
said = []
for line in json.loads(sys.argv[1]):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    sys.argv = ["kernel-zoo", *line]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            kernel_zoo.main()
        except SystemExit as end:
            code = end.code or 0
    said.append((code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()))
print(json.dumps(said))
"""


def several(*lines, cwd, codes=None, path=BARE):
    """Run command lines of `kernel-zoo`, one after the other, in one process without the frameworks; return what each said."""
    command = [sys.executable, "-c", SEVERAL, json.dumps([line.split() for line in lines])]
    done = subprocess.run(command, cwd=cwd, env=environment(path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [SimpleNamespace(code=code, stdout=out, stderr=err) for code, out, err in json.loads(done.stdout)]
    assert [each.code for each in said] == list(codes or [0] * len(lines)), said
    return said


def require_one_line(done, message):
    """Hold a refusal to its form: exit status 1 or 2, and one line that says what is wrong."""
    said = done.stderr.splitlines()[-1] if done.exit_code == 2 else str(done.exception)
    assert done.exit_code in (1, 2), done.output
    assert not isinstance(done.exception, (AssertionError, AttributeError, KeyError, IndexError)), done.exception
    assert message in said
    assert "\n" not in said
