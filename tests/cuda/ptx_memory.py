"""Memory that threads share, which knows who of them was where: it stops at what a sanitizer looks for on a device."""

import numpy as np

WARP = 32  # threads
SEVERAL = -1  # of them have read an entry
MOST_READS = 2**20  # that are remembered one by one


class Fault(Exception):
    """What a kernel may not do."""


def _log2(size):
    return size.bit_length() - 1


def _warp(thread):
    """Return the mark of a whole warp, which is none of a thread."""
    return -2 - (thread - 1) // WARP


def _are_alone(seen, me):
    """Whether nobody has marked these places but the thread itself, or its warp before its threads knew of each other."""
    return (seen == 0) | (seen == me) | (seen == _warp(me))


class Memory:
    """Bytes that threads share, in rows of one for each block or of one for all, and who was where since the last barrier.

    What was read matters where it is written later: reads are remembered, and looked at then.
    """

    def __init__(self, name, bytes_, granule, ours=None):
        self.name, self.bytes, self.extent, self.granule = name, bytes_.reshape(-1), bytes_.shape[1], granule
        self.pieces = -(-self.extent // granule)
        self.limit = self.extent if ours is None else granule * (np.flatnonzero(ours).max(initial=-1) + 1)
        self.ours = None if ours is None or ours[: self.limit // granule].all() else ours
        self.writer = np.zeros(len(bytes_) * self.pieces, np.int32)
        self.reader = np.zeros(len(self.writer), np.int32)  # which takes no memory where nothing is accessed
        self.written = None if ours is None else np.zeros(len(self.writer), bool)
        self.reads, self.remembered, self.any_reader, self.any_writer, self.views = [], 0, False, False, {}

    def load(self, row, at, dtype, count, thread):
        """Return `count` neighbouring entries from each of some places on, an array for each."""
        where = self._pieces(row, at, dtype.itemsize * count, thread)
        if self.written is not None and not (written := self.written[where]).all():
            self._allow(written, thread, at, "reads what nobody wrote")
        if self.any_writer:
            self._alone(self.writer[where], thread, at, "reads what another wrote")
        self.reads.append((where, thread))
        self.remembered += where.size
        if self.remembered > MOST_READS:
            self._note_reads()
        entries, first = self._entries(row, at, dtype)
        return [entries[first + i] for i in range(count)]

    def store(self, row, at, values, thread):
        """Store neighbouring entries; threads may write to one place together only if they write the same."""
        where = self._pieces(row, at, values[0].itemsize * len(values), thread)
        self._note_reads()
        if self.any_reader:
            self._alone(self.reader[where], thread, at, "writes what another read")
        entries, first = self._entries(row, at, values[0].dtype)
        if self.any_writer:
            different = np.any([entries[first + i] != value for i, value in enumerate(values)], axis=0)
            different = different if where.ndim == 1 else different[:, None]
            self._alone(self.writer[where] * different, thread, at, "writes what another wrote")
        for i, value in enumerate(values):
            entries[first + i] = value
        for i, value in enumerate(values):
            if not (kept := entries[first + i] == value).all():
                self._allow(kept, thread, at, "writes what another writes")
        self.writer[where] = thread if where.ndim == 1 else thread[:, None]
        self.any_writer = True
        if self.written is not None:
            self.written[where] = True

    def _pieces(self, row, at, size, thread):
        """Return the pieces that accesses touch, a row of several for each access or a number for each."""
        every_bit = int(np.bitwise_or.reduce(at))  # no less than the largest, and negative if any is
        if not 0 <= every_bit <= self.limit - size:
            self._allow((at >= 0) & (at + size <= self.limit), thread, at, f"takes {size} bytes outside the {self.limit}")
        if every_bit % size:
            self._allow(at % size == 0, thread, at, f"takes {size} bytes that are not aligned")
        pieces = at >> _log2(self.granule)
        if size > self.granule:
            pieces = pieces[:, None] + np.arange(size // self.granule)
        if self.ours is not None and not (ours := self.ours[pieces]).all():
            self._allow(ours, thread, at, f"takes {size} bytes of no array")
        if isinstance(row, int):
            return pieces
        return (row if pieces.ndim == 1 else row[:, None]) * self.pieces + pieces

    def _note_reads(self):
        """Mark what was read with its readers."""
        for where, thread in self.reads:
            me = thread if where.ndim == 1 else np.broadcast_to(thread[:, None], where.shape)
            alone = _are_alone(self.reader[where], me) if self.any_reader else True
            self.reader[where] = np.where(alone, me, SEVERAL)
            self.reader[where[self.reader[where] != me]] = SEVERAL
            self.any_reader = True
        self._forget_reads()

    def _forget_reads(self):
        self.reads.clear()
        self.remembered = 0

    def _alone(self, seen, thread, at, what):
        if seen.any():
            alone = _are_alone(seen, thread if seen.ndim == 1 else thread[:, None])
            self._allow(alone, thread, at, f"{what}, with no barrier between,")

    def _allow(self, allowed, thread, at, what):
        if not allowed.all():
            first = np.argmin(allowed.reshape(len(at), -1).all(axis=1))
            raise Fault(f"thread {thread[first] - 1} of the launch {what} at byte {at[first]} of {self.name}")

    def _entries(self, row, at, dtype):
        """Return all entries of a type, and the number of those that some accesses start with."""
        if dtype not in self.views:
            self.views[dtype] = self.bytes[: len(self.bytes) // dtype.itemsize * dtype.itemsize].view(dtype)
        return self.views[dtype], (at if isinstance(row, int) else row * self.extent + at) >> _log2(dtype.itemsize)

    def barrier(self):
        self._forget_reads()
        for marks in [self.writer] * self.any_writer + [self.reader] * self.any_reader:
            marks[:] = 0
        self.any_writer = self.any_reader = False

    def barrier_of_warps(self, first):
        """From here on a warp's threads know of each other's accesses; `first` are the first threads of some warps."""
        self._note_reads()
        for seen in (self.writer, self.reader):
            known = (seen > 0) & np.isin(_warp(seen), _warp(first))
            seen[known] = _warp(seen[known])
