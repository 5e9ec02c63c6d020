"""Kernels run in a process of their own: what they print, and how they end, is theirs alone.

A command asks a `Child` for the answers of a session, an object that lives in the other process (`kernels/_cli/sessions.py`). A
kernel that ends its process, or whose call does not return in time, shows as `Died`, with the place where it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import multiprocessing
import os
import pickle
import re
import signal
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any

import click

import registry
from kernels._cli.limits import LONGEST, Limit, Seconds

TIMEOUT = click.option(
    "--timeout",
    default=300.0,
    show_default=True,
    type=Seconds(LONGEST),
    help="Seconds that one call of a kernel may take, compilation included, before its process is ended.",
)


class Died(RuntimeError):
    """The process of a kernel ended, or was ended, without an answer.

    Attributes
    ----------
    place : str or None
        The line it was at, as ``file:line``; None if it left no trace.
    """

    def __init__(self, cause: str, place: str | None) -> None:
        super().__init__(f"{cause} ({place})" if place else cause)
        self.place = place


class Child:
    """A process that answers for one session: it starts when it is first asked, and anew when it is asked after it died.

    Parameters
    ----------
    session : str
        A class of `kernels._cli.sessions`.
    arguments : mapping
        Its keyword arguments.
    timeout : float
        Seconds that one call of a kernel may take.
    """

    def __init__(self, session: str, arguments: dict[str, Any], timeout: float) -> None:
        self._served = session, arguments, timeout
        self._process: Any = None

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, connection = spawn.Pipe()
        self._trace, trace = spawn.Pipe(duplex=False)
        process = spawn.Process(target=registry.call_by_name, args=(__name__, "serve", connection, trace, *self._served))
        process.start()
        self._process = process
        connection.close()
        trace.close()

    def ask(self, method: str, *args: Any, file: str | None = None) -> Any:
        """Return what a method of the session answers, or raise what it raises.

        Raises
        ------
        Died
            If the process ends first; the place is a line of `file` if it was there.
        """
        if self._process is None:
            self._start()
        try:
            self._connection.send((method, args))
            fine, answer = self._connection.recv()
        except (EOFError, OSError):
            died = self._died(file)
            self.close()
            raise died from None
        if fine:
            return answer
        raise answer

    def _died(self, file: str | None) -> Died:
        self._process.join()
        trace = b""
        while self._trace.poll() and (part := os.read(self._trace.fileno(), 65536)):
            trace += part
        said, code = trace.decode(errors="replace"), self._process.exitcode or 0
        if said.startswith("Timeout"):
            cause = f"a call did not return within {self._served[2]:g} s; --timeout sets another limit"
        elif code < 0:
            cause = f"it ended its process with the signal {signal.Signals(-code).name}"
        else:
            cause = f"it ended its process with exit code {code}"
        return Died(cause, _place(said, file))

    def close(self) -> None:
        """End the process, if there is one, and what it has started."""
        if self._process is None:
            return
        if hasattr(os, "killpg") and self._process.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or leads no group yet
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._trace.close()
        self._process = None


def _place(trace: str, file: str | None) -> str | None:
    """Return the innermost line of a file in a trace of faulthandler's, or else of a file that is neither ours nor Python's."""
    frames = re.findall(r'^  File "(.*)", line (\d+) in', trace, re.MULTILINE)
    wanted = file and os.path.realpath(file).encode("ascii", "backslashreplace").decode()
    others = (str(Path(registry.__file__).parent), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
    inside = [frame for frame in frames if os.path.realpath(frame[0]) == wanted]
    outside = [frame for frame in frames if not frame[0].startswith(others)]
    return next((f"{name}:{line}" for name, line in inside or outside), None)


# In the child


def serve(connection: Any, trace: Any, session: str, arguments: dict[str, Any], timeout: float) -> None:
    """Answer for a session until the command closes the connection.

    The process leads a group of its own: Ctrl-C is for the command, which then ends this process, and with it what a kernel has
    started. What a kernel prints goes to standard error, for standard output is the command's.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.flush()
    for stream in (sys.stdout, sys.stderr):  # before the other takes its place: a stream on a file asks where in it it is
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    os.dup2(2, 1)
    faulthandler.enable(trace.fileno())
    limit = Limit(timeout, trace.fileno())
    made: Any = None
    while True:
        try:
            method, args = connection.recv()
        except EOFError:
            return
        try:
            if made is None:
                made = getattr(importlib.import_module("kernels._cli.sessions"), session)(limit, **arguments)
            answer = True, getattr(made, method)(*args)
        except BaseException as error:
            answer = False, _portable(error)
        limit.stop()
        connection.send(answer)


def _end_with_parent() -> None:
    """Wait for the end of the command, then end this process and what it has started."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _portable(error: BaseException) -> Exception:
    """Return an error that the other process can read: one of a type that it knows, or else its text."""
    if isinstance(error, Exception) and type(error).__module__.partition(".")[0] in ("builtins", "registry", "click"):
        try:
            pickle.loads(pickle.dumps(error))
            return error
        except Exception:
            pass
    return RuntimeError(f"{type(error).__name__}: {error}")
