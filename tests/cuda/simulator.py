"""Numba's simulator with threads that take turns: each runs until it meets a barrier or ends, and then the next does.

Numba's own are threads of the operating system, which run at once, while one more asks them all the time which of them wait:
most of the time goes there, and a missing barrier shows by bad luck. Here one thread is ahead of all others whenever it can be,
the first in one block and the last in the next. So who reads or writes too early does so every time.

Import this before a kernel is launched, where NUMBA_ENABLE_CUDASIM is set.
"""

import itertools
import sys
import threading
from types import SimpleNamespace

import numpy as np
from greenlet import getcurrent, greenlet
from numba.core.types import Type
from numba.cuda.simulator import kernel, kernelapi
from numba.np.numpy_support import as_dtype


class Thread(greenlet):
    """A thread of a block, with what the simulator's `cuda` asks of the thread that runs."""

    syncthreads_or = kernel.BlockThread.syncthreads_or

    def __init__(self, block, at, place):
        super().__init__(block.function)
        self._manager, self.threadIdx, self.blockIdx = block, kernelapi.Dim3(*at), kernelapi.Dim3(*place)

    def syncthreads(self):
        """Let the others go on until they are here too, or have ended."""
        self.parent.switch()


class Block:
    """In place of the simulator's `BlockManager`."""

    orders = itertools.cycle((1, -1))

    def __init__(self, function, _grid, extents, _debug):
        self.function, self.extents, self.block_state = function, extents, np.zeros(extents, bool)

    def run(self, place, *arguments):
        """Run the threads of the block at a place in the grid."""
        threads = [Thread(self, at, place) for at in np.ndindex(*self.extents)][:: next(self.orders)]
        for thread in threads:
            thread.switch(*arguments)
        while threads := [thread for thread in threads if not thread.dead]:
            for thread in threads:
                thread.switch()


def shared_array(self, shape, dtype, alignment=None):
    """Return the one array of a block for each place in the code that asks for it; Numba's own is one for each line."""
    assert shape, "dynamic shared memory is not simulated"
    assert alignment is None, "an alignment is not simulated"
    place = sys._getframe(1)
    place = place.f_code, place.f_lasti
    if place not in self._allocations:
        self._allocations[place] = np.empty(shape, as_dtype(dtype) if isinstance(dtype, Type) else dtype)
    return self._allocations[place]


kernel.BlockManager = Block
kernelapi.FakeCUDAShared.array = shared_array
kernelapi.threading = SimpleNamespace(current_thread=getcurrent, Lock=threading.Lock)
