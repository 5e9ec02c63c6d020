"""Memory that threads share, which knows who of them was where: it stops at what a sanitizer looks for on a device."""

import numpy as np

WARP = 32  # threads
SEVERAL = -1  # of them have read an entry


class Fault(Exception):
    """What a kernel may not do."""


def _warp(thread):
    """Return the mark of a whole warp, which is none of a thread."""
    return -2 - (thread - 1) // WARP


class Memory:
    """Bytes that threads share, in rows of one for each block or of one for all, and who was where since the last barrier."""

    def __init__(self, name, bytes_, granule, ours=None):
        self.name, self.bytes, self.extent, self.granule, self.ours = name, bytes_.reshape(-1), bytes_.shape[1], granule, ours
        self.pieces = -(-self.extent // granule)
        self.writer = np.zeros(len(bytes_) * self.pieces, np.int32)
        self.reader = np.zeros(len(self.writer), np.int32)  # which takes no memory where nothing is accessed
        self.written = None if ours is None else np.zeros(len(self.writer), bool)

    def load(self, row, at, dtype, count, thread):
        """Return `count` neighbouring entries from each of some places on, an array for each."""
        where = self._pieces(row, at, dtype.itemsize * count, thread)
        if self.written is not None:
            self._allow(self.written[where].all(axis=1), thread, at, "reads what nobody wrote")
        self._alone(self.writer[where], thread, at, "reads what another wrote")
        seen, me = self.reader[where], thread[:, None]
        self.reader[where] = np.where((seen == 0) | (seen == me) | (seen == _warp(me)), me, SEVERAL) if seen.any() else me
        self.reader[where[self.reader[where] != me]] = SEVERAL
        return self._seen_as(dtype)[(row * self.extent + at) // dtype.itemsize + np.arange(count)[:, None]]

    def store(self, row, at, values, thread):
        """Store neighbouring entries; threads may write to one place together only if they write the same."""
        dtype = values.dtype
        where = self._pieces(row, at, dtype.itemsize * len(values), thread)
        self._alone(self.reader[where], thread, at, "writes what another read")
        entries, places = self._seen_as(dtype), (row * self.extent + at) // dtype.itemsize + np.arange(len(values))[:, None]
        different = (entries[places] != values).any(axis=0)
        self._alone(self.writer[where] * different[:, None], thread, at, "writes what another wrote")
        entries[places] = values
        self.writer[where] = thread[:, None]
        self._allow((entries[places] == values).all(axis=0), thread, at, "writes what another writes")
        if self.written is not None:
            self.written[where] = True

    def _pieces(self, row, at, size, thread):
        self._allow((at >= 0) & (at + size <= self.extent), thread, at, f"takes {size} bytes outside the {self.extent}")
        self._allow(at % size == 0, thread, at, f"takes {size} bytes that are not aligned")
        pieces = at[:, None] // self.granule + np.arange(size // self.granule)
        if self.ours is not None:
            self._allow(self.ours[pieces].all(axis=1), thread, at, f"takes {size} bytes of no array")
        return np.reshape(row, (-1, 1)) * self.pieces + pieces

    def _alone(self, seen, thread, at, what):
        if not seen.any():
            return
        me = thread[:, None]
        alone = (seen == 0) | (seen == me) | (seen == _warp(me))
        self._allow(alone.all(axis=1), thread, at, f"{what}, with no barrier between,")

    def _allow(self, allowed, thread, at, what):
        if not allowed.all():
            first = np.argmin(allowed)
            raise Fault(f"thread {thread[first] - 1} of the launch {what} at byte {at[first]} of {self.name}")

    def _seen_as(self, dtype):
        return self.bytes[: len(self.bytes) // dtype.itemsize * dtype.itemsize].view(dtype)

    def barrier(self):
        self.writer[:] = 0
        self.reader[:] = 0

    def barrier_of_warps(self, first):
        """From here on a warp's threads know of each other's accesses; `first` are the first threads of some warps."""
        for seen in (self.writer, self.reader):
            known = (seen > 0) & np.isin(_warp(seen), _warp(first))
            seen[known] = _warp(seen[known])
