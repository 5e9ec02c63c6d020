"""A limit on the time that each call of a kernel may take."""

from __future__ import annotations

import faulthandler
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import click

IMPORT_SECONDS = 300.0  # for a kernel's file and what it imports, whatever the limit on a call
LONGEST = 1e6  # twelve days


class Seconds(click.FloatRange):
    """A number of seconds above 0, at most so many, and no NaN, which is on no side of a bound."""

    def __init__(self, longest: float | None = None) -> None:
        super().__init__(min=0, min_open=True, max=longest)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


class Limit:
    """Ends the process, and leaves a trace, when a call takes longer than it may.

    faulthandler waits in a thread that needs no part of Python, so that compiled code which never returns is ended too.
    """

    def __init__(self, seconds: float, file: int) -> None:
        self._call = seconds
        self._file = file
        self._seconds, self._since = 0.0, -math.inf

    def start(self, calls: int = 1) -> None:
        """Give the next calls their time, from now on.

        A start that comes soon after another does nothing, for it would cost some calls more than they take themselves; a call
        may then take a twentieth less.
        """
        self._start(calls * self._call)

    def start_import(self) -> None:
        """Give a kernel's file the time to be imported."""
        self._start(IMPORT_SECONDS)

    def _start(self, seconds: float) -> None:
        now = time.monotonic()
        if seconds != self._seconds or now - self._since > 0.05 * seconds:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)
            self._seconds, self._since = seconds, now

    def stop(self) -> None:
        """Wait for no call any more."""
        faulthandler.cancel_dump_traceback_later()
        self._since = -math.inf

    def on_each_call(self, function: Callable[..., Any], *, stops: bool = False) -> Callable[..., Any]:
        """Return the function, whose file was imported, with the limit on each of its calls.

        If the limit `stops`, it is not on what comes between the calls, such as references. A KeyboardInterrupt is the
        function's: Ctrl-C does not come here.
        """

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.start()
            try:
                return function(*args, **kwargs)
            except KeyboardInterrupt as error:
                raise RuntimeError("it raised KeyboardInterrupt") from error
            finally:
                if stops:
                    self.stop()

        if stops:
            self.stop()
        return call
