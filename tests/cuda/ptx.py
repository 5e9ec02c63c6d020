"""A machine for PTX: runs the code that a device would be given on NumPy arrays, an instruction at a time for all threads.

It stops at what a sanitizer looks for on a device: an access outside an array or at a misaligned address, a shared entry that
nobody wrote, two threads at one entry with no barrier between them of which one writes, a barrier that some of the block never
reach. Threads that part at a branch take turns, those furthest behind first. An approximate instruction is off by as much as
it may be, up or down as the last bit of its operand has it. What the machine has not been taught is `Unknown`,
not guessed.

Source: NVIDIA, Parallel Thread Execution ISA, version 9.0.
"""

import functools
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from ptx_arithmetic import (
    ARITHMETIC,
    FRAGMENTS,
    KNOWN,
    Unknown,
    compare,
    convert,
    flushed,
    fma_down,
    saturated,
    towards_zero,
    upper_half,
)
from ptx_memory import WARP, Fault, Memory

SPACING = 2**40  # between the addresses of two arrays: what does not fit into 32 bits shows
LANES = 2**14  # threads that run at a time, in whole blocks
GAP = 64  # bytes between two shared arrays, which are nobody's

TYPES = {"pred": np.dtype(bool), "f16": np.dtype("f2"), "f32": np.dtype("f4"), "f64": np.dtype("f8")}
TYPES |= {f"{kind}{8 * size}": np.dtype(f"{sign}{size}") for kind, sign in ("bu", "uu", "si") for size in (1, 2, 4, 8)}

WITHIN_REGISTERS = ARITHMETIC.keys() | {"setp", "cvt"}
BEYOND_REGISTERS = {"ld": "_access", "st": "_access", "cp": "_copy", "ldmatrix": "_load_matrices"}
BEYOND_REGISTERS |= {"shfl": "_shuffle", "mma": "_multiply", "bar": "_order_warps"}

INSTRUCTION = re.compile(r"(?:@(!?)([%$\w]+)\s+)?([a-z][\w.:]*)\s*([^;]*);")
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+")
SCOPE = re.compile(r"\{ \.reg [^;]*; ([^;]*;) \}")
REGISTERS = re.compile(r"\.reg \.(\w+)\s+([%$\w]+)(?:<\d+>)?;")
SHARED = re.compile(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d*)\];")
ADDRESS = re.compile(r"\[\s*([%$\w]+)\s*(?:\+\s*(-?\d+)\s*)?\]")
PARAMETER = re.compile(r"\.param \.(\w+) .*?(\w+_param_\d+),?$", re.MULTILINE)


@functools.cache
def _immediate(operand, dtype):
    if dtype.kind == "b":
        return np.bool_(int(operand))
    if operand[:2] in ("0f", "0d"):
        return dtype.type(np.array(int(operand[2:], 16), f"u{dtype.itemsize}").view(dtype))
    return np.array(int(operand.rstrip("U"), 0) % 2 ** (8 * dtype.itemsize), f"u{dtype.itemsize}").view(dtype)[()]


@dataclass(eq=False)
class Instruction:
    """One line: `@!guard name.modifiers.types operands;`."""

    guard: str
    negated: bool
    name: str
    modifiers: tuple
    types: tuple
    operands: tuple

    @functools.cached_property
    def ends_a_block(self):
        return self.name in ("bra", "ret") or (self.name == "bar" and "warp" not in self.modifiers)

    @functools.cached_property
    def arithmetic(self):
        """The types of the sources within registers, and the function of them that is the result."""
        name, dtype = self.name, self.types[-1]
        known = KNOWN | ({"rm"} if name == "fma" else set())
        if name not in WITHIN_REGISTERS or not known.issuperset(self.modifiers):
            raise Unknown(self)
        kinds = [dtype] * (len(self.operands) - 1)
        if name in ("shl", "shr"):
            kinds[1] = TYPES["u32"]
        elif name == "selp":
            kinds[2] = TYPES["pred"]
        elif name == "mad" and "wide" in self.modifiers:
            kinds[2] = twice(dtype)
        compute = self._function()
        if "sat" in self.modifiers:
            compute = applied(saturated, compute)
        if "ftz" in self.modifiers:
            compute = applied(flushed, compute, flushed)
        return kinds, compute

    def _function(self):
        name, modifiers, dtype = self.name, self.modifiers, self.types[-1]
        if name == "setp":
            return functools.partial(compare, modifiers[0])
        if name == "cvt":
            return lambda *values: convert(values, self.types[0], modifiers)
        if name in ("mul", "mad") and "wide" in modifiers:
            double = twice(dtype)
            return lambda a, b, *c: sum(c, np.multiply(a.astype(double), b.astype(double)))
        if name == "mul" and "hi" in modifiers:
            return upper_half
        return fma_down if name == "fma" and "rm" in modifiers else ARITHMETIC[name]

    @classmethod
    def parsed(cls, match):
        negated, guard, opcode, operands = match.groups()
        name, *rest = opcode.split(".")
        types = tuple(TYPES[part] for part in rest if part in TYPES)
        modifiers = tuple(part for part in rest if part not in TYPES)
        return cls(guard, bool(negated), name, modifiers, types, tuple(OPERAND.findall(operands)))


class Kernel:
    """A kernel's code, in blocks that control enters at the first instruction and leaves at the last."""

    def __init__(self, ptx, dynamic=0):
        head, _, body = ptx.partition(".entry ")[2].partition("\n{")
        self.parameters = [(name, TYPES[kind]) for kind, name in PARAMETER.findall(head)]
        self.registers = {prefix: TYPES[kind.replace("f", "b")] for kind, prefix in REGISTERS.findall(body)}
        self.arrays, end = {}, 0
        for align, name, size in SHARED.findall(ptx):
            start = -(-end // int(align)) * int(align)
            self.arrays[name] = (start, int(size or dynamic))
            end = start + int(size or dynamic) + GAP
        self.shared = -(-end // 16) * 16
        self.labels, self.blocks = {}, [[]]
        for line in body.splitlines():
            line = SCOPE.sub(r"\1", line.partition("//")[0].strip())
            if line.endswith(":"):
                self._next_block()
                self.labels[line[:-1]] = len(self.blocks) - 1
            elif match := INSTRUCTION.fullmatch(line):
                instruction = Instruction.parsed(match)
                self.blocks[-1].append(instruction)
                if instruction.ends_a_block:
                    self._next_block()
            elif line and not line.startswith((".", "{", "}")):
                raise Unknown(line)
        self.forget()

    def _next_block(self):
        if self.blocks[-1]:
            self.blocks.append([])

    def forget(self):
        self.visits = [0] * len(self.blocks)

    def executed(self):
        """Return how many threads have executed each kind of instruction since then; a guard is no hindrance."""
        counts = Counter()
        for visits, block in zip(self.visits, self.blocks, strict=True):
            for instruction in block:
                counts[instruction.name] += visits
        return counts

    def granule(self, space):
        """Return the size of the smallest access to a kind of memory, four bytes at most."""
        accesses = [i for block in self.blocks for i in block if i.name in ("ld", "st") and space in i.modifiers]
        return min([4, *(access.types[-1].itemsize for access in accesses)])

    def run(self, grid, block, *arguments, only=None):
        """Run a grid of blocks, or only those of the numbers named, on arguments as the kernel has them.

        Arrays of arguments are contiguous and stay where they are. One array given twice is one.
        """
        values, memories = [], {}
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                bytes_ = argument.reshape(-1).view(np.uint8).reshape(1, -1)
                key = argument.__array_interface__["data"][0], argument.size
                number = len(memories) + 1
                memory = memories.setdefault(key, (number, Memory(f"argument {len(values)}", bytes_, self.granule("global"))))
                values.append(memory[0] * SPACING)
            else:
                values.append(argument)
        parameters = {name: np.asarray(value).astype(dtype) for (name, dtype), value in zip(self.parameters, values, strict=True)}
        extents, blocks = np.atleast_1d(block), np.arange(grid) if only is None else np.asarray(only)
        step = max(1, LANES // int(extents.prod()))
        with np.errstate(all="ignore"):
            for start in range(0, len(blocks), step):
                Threads(self, parameters, [m for _, m in memories.values()], grid, extents, blocks, start, start + step).run()


def twice(dtype):
    """Return the type of twice as many bits."""
    return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")


def applied(after, compute, before=lambda value: value):
    """Return a function with changes to its result, and to its arguments before."""
    return lambda *values: after(compute(*map(before, values)))


def _names(operand):
    return operand.strip("{}").replace(" ", "").split(",")


class Threads:
    """The threads of some blocks on their way through a kernel."""

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
        self.registers = {f"%{name}": np.full(self.count, value, np.uint32) for name, value in special.items()}
        ours = np.zeros(max(16, kernel.shared), bool)
        for first, length in kernel.arrays.values():
            ours[first : first + length] = True
        granule = kernel.granule("shared")
        self.shared = Memory("shared memory", np.zeros((len(own), len(ours)), np.uint8), granule, ours[::granule])
        self.copies = [[]]  # groups of asynchronous copies: those committed, and the one that is open

    def run(self):
        self.ready, waiting = {0: self.everybody}, {}
        while self.ready or waiting:
            if not self.ready:
                self._release(waiting)
            at = min(self.ready)
            lanes = self.ready.pop(at)
            instructions = self.kernel.blocks[at]
            self.kernel.visits[at] += len(lanes)
            lanes = slice(None) if len(lanes) == self.count else lanes
            for instruction in instructions:
                if not instruction.ends_a_block:
                    self._execute(instruction, lanes)
            lanes = self.everybody[lanes]
            last = instructions[-1] if instructions and instructions[-1].ends_a_block else None
            if last and last.name in ("bra", "ret"):
                leaving = self._guarded(last, lanes)
                staying = np.setdiff1d(lanes, leaving, assume_unique=True)
                if last.name == "bra":
                    self._go(self.kernel.labels[last.operands[0]], leaving)
                self._go(at + 1, staying)
            elif last:
                if last.guard or last.modifiers not in (("sync",), ("red", "or")) or "0" not in last.operands:
                    raise Unknown(last)
                waiting[at + 1] = np.union1d(waiting.get(at + 1, lanes), lanes)
            else:
                self._go(at + 1, lanes)

    def _go(self, at, lanes):
        if len(lanes) and at < len(self.kernel.blocks):
            self.ready[at] = np.union1d(self.ready[at], lanes) if at in self.ready else lanes

    def _release(self, waiting):
        """Let the blocks go on that wait at a barrier, with what one of their threads says or none (bar.red.or)."""
        for at, lanes in waiting.items():
            counts = np.bincount(self.row[lanes])
            if len(short := counts[(counts > 0) & (counts < self.size)]):
                raise Fault(f"{short[0]} of the {self.size} threads of a block wait at a barrier which the others never reach")
            barrier = self.kernel.blocks[at - 1][-1]
            if "red" in barrier.modifiers:
                target, _, said = barrier.operands
                says = self._value(said, TYPES["pred"], lanes)
                self._write(target, lanes, np.bincount(self.row[lanes], says)[self.row[lanes]] > 0)
        self.ready.update(waiting)
        waiting.clear()
        self.shared.barrier()

    def _guarded(self, instruction, lanes):
        """Return those lanes that an instruction's predicate lets through."""
        if not instruction.guard:
            return lanes
        passes = self.registers[instruction.guard][lanes] != instruction.negated
        return self.everybody[lanes][passes]

    def _value(self, operand, dtype, lanes):
        if operand.startswith("{"):
            parts = _names(operand)
            piece = np.dtype(f"u{dtype.itemsize // len(parts)}")
            pieces = np.broadcast_arrays(self.everybody[lanes], *(self._value(part, piece, lanes) for part in parts))[1:]
            return np.stack(pieces, axis=-1).view(dtype)[:, 0]
        if operand in self.registers:
            bits = self.registers[operand][lanes]
            if bits.itemsize != dtype.itemsize:  # of a wider register the lower bits
                bits = bits.astype(f"u{dtype.itemsize}")
            return bits.view(dtype)
        if operand in self.kernel.arrays:
            return dtype.type(self.kernel.arrays[operand][0])
        return _immediate(operand, dtype)

    def _write(self, register, lanes, value):
        if register.startswith("{"):
            parts = _names(register)
            pieces = np.ascontiguousarray(value).view(f"u{value.itemsize // len(parts)}").reshape(-1, len(parts))
            for part, piece in zip(parts, pieces.T, strict=True):
                self._write(part, lanes, piece)
            return
        if register == "_":
            return
        dtype = self.kernel.registers[register.rstrip("0123456789")]
        if register not in self.registers:
            self.registers[register] = np.zeros(self.count, dtype)
        value = np.asarray(value)
        if value.itemsize == dtype.itemsize:
            value = value.view(dtype)
        self.registers[register][lanes] = value  # integers lengthened with their sign

    def _execute(self, instruction, lanes):
        lanes = self._guarded(instruction, lanes)
        if instruction.name in BEYOND_REGISTERS:
            getattr(self, BEYOND_REGISTERS[instruction.name])(instruction, lanes)
            return
        kinds, compute = instruction.arithmetic
        target, *sources = instruction.operands
        values = [self._value(source, kind, lanes) for source, kind in zip(sources, kinds, strict=True)]
        self._write(target, lanes, compute(*values))

    def _access(self, instruction, lanes):
        """Load or store one entry or several neighbours."""
        stores, dtype = instruction.name == "st", instruction.types[-1]
        place, registers = instruction.operands if stores else instruction.operands[::-1]
        if "param" in instruction.modifiers:
            self._write(registers, lanes, self.parameters[place.strip("[]")].astype(dtype))
        elif len(self.everybody[lanes]):
            memory, row, at = self._place(instruction.modifiers, place, lanes)
            names, thread = _names(registers), self.thread[lanes]
            if stores:
                bits = np.dtype(f"u{dtype.itemsize}")
                values = np.stack([np.broadcast_to(self._value(name, bits, lanes), thread.shape) for name in names])
                memory.store(row, at, values, thread)
            else:
                for name, value in zip(names, memory.load(row, at, dtype, len(names), thread), strict=True):
                    self._write(name, lanes, value)

    def _place(self, spaces, place, lanes):
        """Return the memory that an address is in, and the rows and bytes there."""
        base, offset = ADDRESS.fullmatch(place).groups()
        at = np.broadcast_to(self._value(base, TYPES["s64"], lanes) + int(offset or 0), self.everybody[lanes].shape)
        if "shared" in spaces:
            return self.shared, self.row[lanes], at
        number = at // SPACING
        if (number != number[0]).any() or not 0 < number[0] <= len(self.memories):
            raise Fault(f"threads from {self.thread[lanes][0] - 1} on are outside of every array, at {at[0]:#x}")
        return self.memories[number[0] - 1], 0, at % SPACING

    def _warps(self, lanes):
        """Return lanes, a row for each warp: an instruction of a warp takes all of it."""
        lanes = self.everybody[lanes].reshape(-1, WARP)
        if (lanes != lanes[:, :1] + np.arange(WARP)).any() or (lanes[:, 0] % WARP).any():
            raise Fault("part of a warp is missing from an instruction for all of it")
        return lanes

    def _order_warps(self, _, lanes):
        self.shared.barrier_of_warps(self.thread[self._warps(lanes)[:, 0]])

    def _shuffle(self, instruction, lanes):
        target, source, other, _, _ = instruction.operands
        if instruction.modifiers not in (("sync", "bfly"), ("sync", "idx")):
            raise Unknown(instruction)
        self._warps(lanes)
        whole, own = self.registers[source], self.everybody[lanes]
        place = self._value(other, TYPES["s32"], lanes)
        self._write(target, lanes, whole[own ^ place if "bfly" in instruction.modifiers else own - own % WARP + place % WARP])

    def _load_matrices(self, instruction, lanes):
        """Load matrices of 8 x 8 entries of two bytes: the address of row i is thread i's, and each gets two entries of each."""
        targets, place = instruction.operands
        names, warps = _names(targets), self._warps(lanes)
        lanes = warps[:, : 8 * len(names)].reshape(-1)
        memory, row, at = self._place(instruction.modifiers, place, lanes)
        rows = memory.load(row, at, TYPES["b16"], 8, self.thread[lanes]).T.reshape(len(warps), len(names), 8, 8)
        rows = rows.swapaxes(2, 3) if "trans" in instruction.modifiers else rows
        pairs = np.ascontiguousarray(rows).reshape(len(warps), len(names), WARP, 2).view(np.uint32)
        for name, matrix in zip(names, pairs.swapaxes(0, 1), strict=True):
            self._write(name, warps.reshape(-1), matrix.reshape(-1))

    def _multiply(self, instruction, lanes):
        """Add a product of small matrices that lie in the registers of a warp; products are exact, and sums cut."""
        shape = next(modifier for modifier in instruction.modifiers if modifier in FRAGMENTS)
        (m, n, k), *places = FRAGMENTS[shape]
        kind = "tf32" if "tf32" in instruction.modifiers else "bf16" if "bf16" in instruction.modifiers else None
        narrow = instruction.types[1] if kind is None else TYPES["b16" if kind == "bf16" else "b32"]
        target, *sources = instruction.operands
        warps = len(self._warps(lanes))
        matrices = []
        for source, where, extents in zip(sources, places, ((m, k), (k, n), (m, n)), strict=True):
            dtype = instruction.types[0] if where is places[2] else narrow
            registers = [self.registers[name][lanes].view(dtype) for name in _names(source)]
            entries = np.stack(registers).reshape(len(registers), warps, WARP, -1)  # two to a register where they are narrow
            entries = np.moveaxis(entries, 3, 1).reshape(-1, warps, WARP)
            if where is not places[2] and kind == "tf32":
                entries = (entries & np.uint32(0xFFFFE000)).view(np.float32)
            elif where is not places[2] and kind == "bf16":
                entries = (entries.astype(np.uint32) << np.uint32(16)).view(np.float32)
            matrix = np.zeros((warps, *extents))
            for (row, column), entry in zip(where, entries, strict=True):
                matrix[:, row, column] = entry
            matrices.append(matrix)
        left, right, sums = matrices
        sums = left @ right + sums
        sums = sums if instruction.types[0].itemsize == 8 else towards_zero(sums)
        for name, (row, column) in zip(_names(target), places[2], strict=True):
            self._write(name, lanes, np.ascontiguousarray(sums[:, row, column]).reshape(-1))

    def _copy(self, instruction, lanes):
        """Copy from global to shared memory behind the threads' backs: what was asked for is there once it was waited for."""
        if instruction.modifiers[:2] == ("async", "commit_group"):
            self.copies.append([])
        elif instruction.modifiers[:2] == ("async", "wait_group"):
            done = len(self.copies) - 1 - int(instruction.operands[0])
            for copy in [copy for group in self.copies[: max(0, done)] for copy in group]:
                copy()
            del self.copies[: max(0, done)]
        else:
            target, source, size, taken = instruction.operands
            taken = np.broadcast_to(self._value(taken, TYPES["u32"], lanes), self.everybody[lanes].shape)
            if not np.isin(taken, (0, int(size, 0))).all():
                raise Unknown(instruction)
            count = int(size, 0) // 4
            lanes = self.everybody[lanes]
            values = np.zeros((count, len(lanes)), np.uint32)
            if (reading := taken > 0).any():
                origin, row, at = self._place(("global",), source, lanes[reading])
                values[:, reading] = origin.load(row, at, TYPES["b32"], count, self.thread[lanes[reading]])
            memory, row, at = self._place(("shared",), target, lanes)
            self.copies[-1].append(lambda: memory.store(row, at, values, self.thread[lanes]))
