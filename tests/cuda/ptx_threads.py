"""Threads on their way through a kernel, and what they do together or beyond their registers: memory, warps, barriers, copies."""

import functools
import itertools

import numpy as np
from ptx_arithmetic import FRAGMENTS, Unknown, towards_zero
from ptx_memory import WARP, Fault, Memory

SPACING = 2**40  # between the addresses of two arrays: what does not fit into 32 bits shows

# The entries of a matrix in the bits of registers, by their type.
ENTRIES = {name: functools.partial(np.ndarray.view, dtype=dtype) for name, dtype in (("f16", "f2"), ("f32", "f4"), ("f64", "f8"))}
ENTRIES["tf32"] = lambda bits: (bits & np.uint32(0xFFFFE000)).view(np.float32)
ENTRIES["bf16"] = lambda bits: (bits.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def spread(values, lanes):
    """Return an entry for each of some threads."""
    return values if values.ndim else np.full(len(lanes), values)


def united(lanes, more):
    """Return the numbers of two groups of threads, in ascending order."""
    return np.sort(np.concatenate([lanes, more]))


class Threads:
    """The threads of some blocks. `lanes` are the numbers of those that take part in an instruction, in ascending order."""

    def __init__(self, kernel, parameters, memories, grid, extents, blocks, start, end):
        self.kernel, self.parameters, self.memories = kernel, parameters, memories
        self.size, own = int(extents.prod()), blocks[start:end]
        self.count = self.size * len(own)
        self.everybody = np.arange(self.count)
        within, self.row = self.everybody % self.size, self.everybody // self.size
        self.thread = (start * self.size + self.everybody + 1).astype(np.int32)
        width, height = (*map(int, extents), 1)[:2]
        special = {"tid.x": within % width, "tid.y": within // width, "ntid.x": width, "ntid.y": height}
        special |= {"ctaid.x": np.repeat(own, self.size), "nctaid.x": grid}
        self.registers = {f"%{name}": np.uint32(value) for name, value in special.items()}
        ours = np.zeros(max(16, kernel.shared), bool)
        for first, length in kernel.arrays.values():
            ours[first : first + length] = True
        granule = kernel.granule("shared")
        self.shared = Memory("shared memory", np.zeros((len(own), len(ours)), np.uint8), granule, ours[::granule])
        self.copies = [[]]  # groups of asynchronous copies: those committed, and the one that is open

    def run(self):
        """Take all threads to the kernel's end, those furthest behind first."""
        self.ready, waiting = {0: self.everybody}, {}
        while self.ready or waiting:
            if not self.ready:
                self._release(waiting)
            at = min(self.ready)
            lanes = self.ready.pop(at)
            self.kernel.visits[at] += len(lanes)
            taken = self.kernel.function(at)(self, self.registers, lanes, None if len(lanes) == self.count else lanes)
            last = next(iter(self.kernel.blocks[at][-1:]), None)
            if last and last.name in ("bra", "ret"):
                leaving, staying = self._parted(lanes, taken, last.negated)
                if last.name == "bra":
                    self._go(self.kernel.labels[last.operands[0]], leaving)
                self._go(at + 1, staying)
            elif last and last.ends_a_block:
                if last.guard or last.modifiers not in (("sync",), ("red", "or")) or "0" not in last.operands:
                    raise Unknown(last)
                waiting[at + 1] = united(waiting[at + 1], lanes) if at + 1 in waiting else lanes
            else:
                self._go(at + 1, lanes)

    @staticmethod
    def _parted(lanes, taken, negated):
        """Return those that take a branch, and those that do not."""
        if taken is None:
            return lanes, lanes[:0]
        if not taken.ndim:
            return (lanes, lanes[:0]) if taken != negated else (lanes[:0], lanes)
        taken = taken != negated
        return lanes[taken], lanes[~taken]

    def _go(self, at, lanes):
        if len(lanes) and at < len(self.kernel.blocks):
            self.ready[at] = united(self.ready[at], lanes) if at in self.ready else lanes

    def _release(self, waiting):
        """Let the blocks go on that wait at a barrier, with what one of their threads says or none (bar.red.or)."""
        for at, lanes in waiting.items():
            counts = np.bincount(self.row[lanes])
            if len(short := counts[(counts > 0) & (counts < self.size)]):
                raise Fault(f"{short[0]} of the {self.size} threads of a block wait at a barrier which the others never reach")
            barrier = self.kernel.blocks[at - 1][-1]
            if "red" in barrier.modifiers:
                target, _, said = barrier.operands
                says = np.broadcast_to(self.registers[said], self.count)[lanes]
                result = np.zeros(self.count, bool) | self.registers.get(target, np.bool_(0))
                result[lanes] = np.bincount(self.row[lanes], says)[self.row[lanes]] > 0
                self.registers[target] = result
        self.ready.update(waiting)
        waiting.clear()
        self.shared.barrier()

    def parameter(self, _, name, dtype):
        """Return a parameter of the kernel, which is the same for all."""
        return (self.parameters[name].astype(dtype)[()],)

    def load(self, lanes, shared, offset, dtype, count, base):
        """Load one entry or several neighbours."""
        memory, row, at = self._place(lanes, shared, base, offset)
        return memory.load(row, at, dtype, count, self._of(self.thread, lanes))

    def store(self, lanes, shared, offset, base, *values):
        """Store one entry or several neighbours."""
        memory, row, at = self._place(lanes, shared, base, offset)
        memory.store(row, at, [spread(value, lanes) for value in values], self._of(self.thread, lanes))

    def _of(self, whole, lanes):
        return whole if len(lanes) == self.count else whole[lanes]

    def _place(self, lanes, shared, base, offset):
        """Return the memory that an address is in, and the rows and bytes there."""
        at = spread(base + np.int64(offset), lanes)
        if shared:
            return self.shared, self._of(self.row, lanes) if self.size < self.count else 0, at
        number = int(at[0]) // SPACING  # an address in another array is outside of this one
        if not 0 < number <= len(self.memories):
            raise Fault(f"threads from {self.thread[lanes][0] - 1} on are outside of every array, at {at[0]:#x}")
        return self.memories[number - 1], 0, at - number * SPACING

    def _warps(self, lanes):
        """Return lanes, a row for each warp: an instruction of a warp takes all of it."""
        if len(lanes) % WARP:
            raise Fault("part of a warp is missing from an instruction for all of it")
        lanes = lanes.reshape(-1, WARP)
        if (lanes != lanes[:, :1] + np.arange(WARP)).any() or (lanes[:, 0] % WARP).any():
            raise Fault("part of a warp is missing from an instruction for all of it")
        return lanes

    def order_warps(self, lanes):
        """Let the threads of each warp know of each other's accesses (bar.warp.sync)."""
        self.shared.barrier_of_warps(self.thread[self._warps(lanes)[:, 0]])

    def shuffle(self, lanes, by_exclusive_or, values, place):
        """Give each thread the value of another of its warp."""
        own = np.arange(self._warps(lanes).size)
        values = spread(values, lanes)
        return (values[own ^ place if by_exclusive_or else own - own % WARP + place % WARP],)

    def load_matrices(self, lanes, offset, count, transposed, base):
        """Load matrices of 8 x 8 entries of two bytes: the address of row i is thread i's, and each gets two entries of each."""
        warps = self._warps(lanes)
        places = spread(base, lanes).reshape(warps.shape)[:, : 8 * count].reshape(-1)
        lanes = warps[:, : 8 * count].reshape(-1)
        memory, row, at = self._place(lanes, True, places, offset)
        rows = np.stack(memory.load(row, at, np.dtype("u2"), 8, self.thread[lanes]), axis=1).reshape(len(warps), count, 8, 8)
        rows = rows.swapaxes(2, 3) if transposed else rows
        pairs = np.ascontiguousarray(rows).reshape(len(warps), count, WARP, 2).view(np.uint32)
        return [matrix.reshape(-1) for matrix in pairs.swapaxes(0, 1)]

    def multiply(self, lanes, shape, types, counts, *values):
        """Add a product of small matrices that lie in the registers of a warp; products are exact, and sums cut.

        `types` are those of both factors' entries and of the sums'; `counts` the registers of each matrix.
        """
        warps, matrices, values = len(self._warps(lanes)), [], iter(values)
        *factors, result = FRAGMENTS[shape]
        for count, where, type_ in zip(counts, (*factors, result), types, strict=True):
            registers = np.stack([spread(value, lanes) for value in itertools.islice(values, count)])
            entries = ENTRIES[type_](registers).reshape(count, warps, WARP, -1)  # two to a register where they are narrow
            entries = entries.transpose(1, 0, 3, 2).reshape(warps, -1)
            matrices.append(entries[:, where].astype(np.float64))
        left, right, sums = matrices
        sums = left @ right + sums
        sums = sums if types[-1] == "f64" else towards_zero(sums)
        entries = np.empty((warps, result.size), sums.dtype)
        entries[:, result.reshape(-1)] = sums.reshape(warps, -1)
        return entries.reshape(warps, -1, WARP).swapaxes(0, 1).reshape(-1, len(lanes))

    def copy(self, lanes, to, at, size, target, source, taken):
        """Copy from global to shared memory behind the threads' backs: what was asked for is there once it was waited for."""
        taken = spread(taken, lanes)
        if not ((taken == 0) | (taken == size)).all():
            raise Unknown(f"cp.async of a part of {size} bytes")
        values, reading = np.zeros((size // 4, len(lanes)), np.uint32), taken > 0
        if reading.any():
            readers = lanes[reading]
            origin, row, place = self._place(readers, False, spread(source, lanes)[reading], at)
            values[:, reading] = origin.load(row, place, values.dtype, len(values), self.thread[readers])
        memory, row, place = self._place(lanes, True, target, to)
        self.copies[-1].append(lambda: memory.store(row, place, values, self.thread[lanes]))

    def commit(self, _):
        """End a group of copies, and open the next."""
        self.copies.append([])

    def wait(self, _, left):
        """Wait until all groups of copies are done but so many."""
        done = max(0, len(self.copies) - 1 - left)
        for copy in [copy for group in self.copies[:done] for copy in group]:
            copy()
        del self.copies[:done]
