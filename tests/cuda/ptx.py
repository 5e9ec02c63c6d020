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
    fma_of_brains,
    saturated,
    upper_half,
)
from ptx_blocks import Translation, names_of
from ptx_memory import Memory
from ptx_threads import ENTRIES, SPACING, Threads

LANES = 2**14  # threads that run at a time, in whole blocks
GAP = 64  # bytes between two shared arrays, which are nobody's

TYPES = {"pred": np.dtype(bool), "f16": np.dtype("f2"), "f32": np.dtype("f4"), "f64": np.dtype("f8")}
TYPES |= {f"{kind}{8 * size}": np.dtype(f"{sign}{size}") for kind, sign in ("bu", "uu", "si") for size in (1, 2, 4, 8)}
SPECIAL = {"%tid.x", "%tid.y", "%ntid.x", "%ntid.y", "%ctaid.x", "%nctaid.x"}

WITHIN_REGISTERS = ARITHMETIC.keys() | {"setp", "cvt"}
SAME = {"add", "sub", "mul", "mad", "fma", "min", "max", "and", "or", "xor", "mov", "ld"}  # type of the result and of the inputs
WITHOUT_RESULT = {"st", "cp", "bar", "bra", "ret"}  # in its first operand

INSTRUCTION = re.compile(r"(?:@(!?)([%$\w]+)\s+)?([a-z][\w.:]*)\s*([^;]*);")
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+")
NAME = re.compile(r"[%$\w]+")
SCOPE = re.compile(r"\{ \.reg [^;]*; ([^;]*;) \}")
REGISTERS = re.compile(r"\.reg \.(\w+)\s+([%$\w]+)(?:<\d+>)?;")
SHARED = re.compile(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d*)\];")
ADDRESS = re.compile(r"\[\s*([%$\w]+)\s*(?:\+\s*(-?\d+)\s*)?\]")
PARAMETER = re.compile(r"\.param \.(\w+) .*?(\w+_param_\d+),?$", re.MULTILINE)


@dataclass(eq=False)
class Instruction:
    """One line: `@!guard name.modifiers.types operands;`.

    What it computes is a function of its inputs' values, for which it states registers or numbers, and their types. It gives the
    values of its outputs, which are registers. Beyond registers the threads have a method for it.
    """

    guard: str
    negated: bool
    name: str
    parts: tuple
    operands: tuple

    @classmethod
    def parsed(cls, match):
        negated, guard, opcode, operands = match.groups()
        name, *parts = opcode.split(".")
        return cls(guard, bool(negated), name, tuple(parts), tuple(OPERAND.findall(operands)))

    @functools.cached_property
    def modifiers(self):
        return tuple(part for part in self.parts if part not in TYPES)

    @functools.cached_property
    def types(self):
        types = tuple(TYPES[part] for part in self.parts if part in TYPES)
        return types or ((TYPES["b16"],) if "bf16" in self.parts else ())

    @property
    def ends_a_block(self):
        return self.name in ("bra", "ret") or (self.name == "bar" and "warp" not in self.modifiers)

    @property
    def within_registers(self):
        return self.name in WITHIN_REGISTERS

    @property
    def keeps_the_type(self):
        return self.name in SAME and not {"wide", "hi"} & {*self.modifiers}

    def mentioned(self):
        """Yield what may be the names of registers, and whether that is the first place where all threads have a new value."""
        results = len(self.operands) and self.name not in WITHOUT_RESULT
        for operand in (str(self.guard), *self.operands[results:]):
            yield from ((name, False) for name in NAME.findall(operand))
        for operand in self.operands[:results]:
            yield from ((name, not self.guard) for name in NAME.findall(operand))

    def decoded(self):
        """Return the inputs, pairs of an operand and a type, the names of the outputs, and the function."""
        if self.within_registers:
            target, *sources = self.operands
            kinds, compute = self._arithmetic()
            return list(zip(sources, kinds, strict=True)), names_of(target), compute
        name, dtype, operands = self.name, self.types[-1] if self.types else None, self.operands
        if name == "ld" and "param" in self.modifiers:
            return [], names_of(operands[0]), told(Threads.parameter, operands[1].strip("[]"), dtype)
        if name in ("ld", "ldmatrix"):
            names, (base, offset) = names_of(operands[0]), _address(operands[1])
            if name == "ldmatrix":
                compute = told(Threads.load_matrices, offset, len(names), "trans" in self.modifiers)
            else:
                compute = told(Threads.load, "shared" in self.modifiers, offset, dtype, len(names))
            return [base], names, compute
        if name == "st":
            base, offset = _address(operands[0])
            bits = np.dtype(f"u{dtype.itemsize}")
            inputs = [base, *((register, bits) for register in names_of(operands[1]))]
            return inputs, [], told(Threads.store, "shared" in self.modifiers, offset)
        if name == "cp" and self.modifiers[:2] == ("async", "commit_group"):
            return [], [], Threads.commit
        if name == "cp" and self.modifiers[:2] == ("async", "wait_group"):
            return [], [], told(Threads.wait, int(operands[0]))
        if name == "cp":
            (target, to), (source, at), size, taken = *map(_address, operands[:2]), *operands[2:]
            return [target, source, (taken, TYPES["u32"])], [], told(Threads.copy, to, at, int(size, 0))
        if name == "shfl" and self.modifiers in (("sync", "bfly"), ("sync", "idx")):
            inputs = [(operands[1], dtype), (operands[2], TYPES["s32"])]
            return inputs, [operands[0]], told(Threads.shuffle, "bfly" in self.modifiers)
        if name == "mma":
            shape, *types = [part for part in self.parts if part in FRAGMENTS or part in ENTRIES]
            wide, left, right, _ = types
            matrices = [names_of(operand) for operand in operands]
            bits = TYPES["b64" if wide == "f64" else "b32"]
            inputs = [(register, bits) for matrix in matrices[1:] for register in matrix]
            return inputs, matrices[0], told(Threads.multiply, shape, (left, right, wide), [*map(len, matrices[1:])])
        if name == "bar" and "warp" in self.modifiers:
            return [], [], Threads.order_warps
        raise Unknown(self)

    def _arithmetic(self):
        name, dtype = self.name, self.types[-1]
        known = KNOWN | ({"rm"} if name == "fma" else set())
        if not known.issuperset(self.modifiers):
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
        if name == "fma" and "bf16" in modifiers:
            return fma_of_brains
        return fma_down if name == "fma" and "rm" in modifiers else ARITHMETIC[name]


def told(method, *facts):
    """Return a method of threads that knows some facts: a function of the threads, those of them that take part, and values."""
    return lambda threads, lanes, *values: method(threads, lanes, *facts, *values)


def _address(place):
    """Return where an address starts, an operand with its type, and how many bytes further it is."""
    base, offset = ADDRESS.fullmatch(place).groups()
    return (base, TYPES["s64"]), int(offset or 0)


def twice(dtype):
    """Return the type of twice as many bits."""
    return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")


def applied(after, compute, before=lambda value: value):
    """Return a function with changes to its result, and to its arguments before."""
    return lambda *values: after(compute(*map(before, values)))


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
        self.functions = [None] * len(self.blocks)
        self.exposed, first = set(), {}  # registers that a block does not keep to itself; the block that has one first
        for number, block in enumerate(self.blocks):
            for instruction in block:
                for name, new in instruction.mentioned():
                    if first.setdefault(name, number if new else None) != number or instruction.name == "bar":
                        self.exposed.add(name)
        self.forget()

    def _next_block(self):
        if self.blocks[-1]:
            self.blocks.append([])

    def register_type(self, operand):
        """Return the type of a register's bits, and None of what is no register."""
        return TYPES["b32"] if operand in SPECIAL else self.registers.get(operand.rstrip("0123456789"))

    def function(self, number):
        """Return a block as a function of Python, which is made when threads first come to it."""
        if self.functions[number] is None:
            self.functions[number] = Translation(self, self.blocks[number]).function()
        return self.functions[number]

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
