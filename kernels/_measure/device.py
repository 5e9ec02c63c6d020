"""Trials on a CUDA device: they run on tensors there, and are timed by events on the device's stream.

Everything else is as on the host: each timed run gets new contents at the same addresses, and results of the timed runs
themselves are held to the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

from kernels._definition.examples import Example
from kernels._definition.results import map_parts
from kernels._measure.trial import CHECKED_ROWS, TIMED_ROWS, Trial

HEAD_START = 4_000_000  # cycles that the device sleeps while a run is queued, so that what is timed never waits for the host
ROW_COST = 2**25  # the work on so many rows has a reference that takes seconds on the host

Clock = Callable[[Callable[[], None], Callable[[], None]], float]


class EventClock:
    """Times a run by events on the device's current stream, from cold caches."""

    def __init__(self, device: str = "cuda") -> None:
        size = 4 * torch.cuda.get_device_properties(device).L2_cache_size
        self._larger_than_caches = torch.empty(size, dtype=torch.uint8, device=device)

    def __call__(self, run: Callable[[], None], keep: Callable[[], None]) -> float:
        """Do a run, have its results kept, and return the seconds that the run took on the device.

        The results are copied on the same stream before the host waits for anything: what a kernel still writes from another
        stream at that time comes too late to count.
        """
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._larger_than_caches.zero_()
        torch.cuda._sleep(HEAD_START)
        start.record()
        run()
        stop.record()
        keep()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1e3


class DeviceTrial(Trial):
    """An example whose arrays are tensors on a device, and whose results are held to references made on the host.

    Parameters
    ----------
    contract, example, dtype
        As `Trial` takes them. Of bfloat16, which NumPy lacks, the example is in float32.
    clock : callable
        An `EventClock`; or what a test puts in its place.
    device : str
    """

    def __init__(self, contract: ModuleType, example: Example, dtype: str, clock: Clock, device: str = "cuda") -> None:
        units = contract.work(*example.args, **example.kwargs)[contract.RATE]
        rows = int(np.clip(ROW_COST * len(example.args[0]) / max(units, 1), 4, CHECKED_ROWS))
        super().__init__(contract, example, dtype, rows)
        self.clock = clock
        self.sample_seconds = 0.0  # an event is exact to a microsecond, and the host cannot hold a run up
        self.timed_rows = max(1, rows * TIMED_ROWS // CHECKED_ROWS)
        tensors = [torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in example.args]
        self.args = tuple(t.to(device, getattr(torch, dtype)) if isinstance(t, torch.Tensor) else t for t in tensors)
        self._first_contents = [t.clone() if isinstance(t, torch.Tensor) else None for t in self.args]

    def refill(self, factor: float = 1.0) -> None:
        """Write the first contents, times a factor, to the addresses where the tensors are."""
        for tensor, contents in zip(self.args, self._first_contents, strict=True):
            if contents is not None:
                torch.mul(contents, factor, out=tensor)

    def materialise(self, result: Any) -> Any:
        """Return a step's result, which must be a tensor already; the clock waits for it, as does the next step."""
        if not isinstance(result, torch.Tensor):
            raise TypeError(f"the result has type {type(result).__name__}, expected Tensor")
        return result

    def copy(self, result: Any) -> Any:
        """Return a copy that the current stream makes as soon as its earlier work has ended."""
        return map_parts(torch.clone, result)

    def on_host(self, value: Any) -> Any:
        """Return an argument or a copy in NumPy."""
        if not isinstance(value, torch.Tensor):
            return value
        narrow = value.is_floating_point() and value.element_size() < 4
        return (value.float() if narrow else value).cpu().numpy()

    def _time_rows(self, function: Callable[..., Any], rows: int) -> tuple[float, float]:
        def waited(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            map_parts(lambda part: self.on_host(part.reshape(-1)[:1]), result)  # waits for it
            return result

        super()._time_rows(waited, rows)  # compiles, and tunes for so many rows
        return super()._time_rows(waited, rows)
