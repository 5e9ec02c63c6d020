"""Blocks of PTX as functions of Python: a line for an instruction, which computes on NumPy arrays with an entry for each thread.

A function takes the threads, their registers, the numbers of those threads that have come to the block, and where their entries
are in the registers: `None` where all have come. It returns the predicate of the branch at the block's end, if any. A register's
array is never changed, but replaced, so that two registers may share one; and a number stands for an array of equal entries.
What a block writes is put into the registers at its end, if any block reads it there.
"""

import functools

import numpy as np


def names_of(operand):
    """Return the registers of an operand, several of which stand in braces."""
    return operand.strip("{}").replace(" ", "").split(",")


@functools.cache
def immediate(operand, dtype):
    """Return the number that an operand spells out."""
    if dtype.kind == "b":
        return np.bool_(int(operand))
    if operand[:2] in ("0f", "0d"):
        return dtype.type(np.array(int(operand[2:], 16), f"u{dtype.itemsize}").view(dtype))
    return np.array(int(operand.rstrip("U"), 0) % 2 ** (8 * dtype.itemsize), f"u{dtype.itemsize}").view(dtype)[()]


def seen_as(bits, dtype):
    """Return registers' contents as numbers of a type; of a wider register the lower bits."""
    if bits.itemsize != dtype.itemsize:
        bits = bits.astype(f"u{dtype.itemsize}")
    return bits.view(dtype)


def joined(dtype, *parts):
    """Return numbers whose bits are those of several narrower ones, the lowest first."""
    return np.stack(np.broadcast_arrays(*parts), axis=-1).view(dtype)[..., 0]


def split(value, count):
    """Return the narrower numbers whose bits lie in others, the lowest first."""
    pieces = np.asarray(value)[..., None].view(f"u{value.itemsize // count}")
    return [pieces[..., i] for i in range(count)]


def active(predicate, negated):
    """Return the places of those threads that a guard lets through; None if that is all."""
    if not predicate.ndim:
        return None if predicate != negated else np.arange(0)
    places = np.flatnonzero(predicate != negated)
    return None if len(places) == len(predicate) else places


def picked(values, places):
    """Return the entries at some places."""
    return values if places is None or not values.ndim else values[places]


def put(values, places, new, dtype, count):
    """Return registers' contents with new ones at some places; integers are lengthened with their sign."""
    if new.itemsize != dtype.itemsize:
        new = new.astype(dtype)
    if places is None:
        return new
    result = np.empty(count, dtype)
    result[:] = seen_as(values, dtype)
    result[places] = new.view(dtype)
    return result


class Translation:
    """One block on its way into Python."""

    def __init__(self, kernel, instructions):
        self.kernel, self.lines = kernel, []
        self.known = {"picked": picked, "put": put, "active": active, "seen_as": seen_as, "joined": joined, "split": split}
        self.current = {}  # the variable with a register's contents
        self.types = {}  # of variables, where they are known
        self.written = []
        answer = None
        for number, instruction in enumerate(instructions):
            if not instruction.ends_a_block:
                self._translate(f"{number}", instruction)
            elif instruction.guard and instruction.name != "bar":
                answer = self._register(instruction.guard)
        for register in sorted({*self.written} & kernel.exposed):
            dtype = self._constant(kernel.register_type(register))
            old = f"registers.get({register!r}, {self._zero(register)})"
            self._add(f"registers[{register!r}] = put({old}, places, {self.current[register]}, {dtype}, threads.count)")
        self._add(f"return {answer}")

    def function(self):
        """Return the block's function."""
        exec("def block(threads, registers, lanes, places):\n" + "\n".join(self.lines), self.known)
        return self.known["block"]

    def _add(self, line, deeper=False):
        self.lines.append("    " * (1 + deeper) + line)

    def _constant(self, value):
        name = f"type_{value.str[1:]}" if isinstance(value, np.dtype) else f"c{len(self.known)}"
        self.known[name] = value
        return name

    def _register(self, register, otherwise=""):
        """Return the variable with a register's contents, which are an expression's if nobody has written to it."""
        if register not in self.current:
            self.current[register] = f"v{len(self.current)}"
            contents = f"registers.get({register!r}, {otherwise})" if otherwise else f"registers[{register!r}]"
            self._add(f"{self.current[register]} = picked({contents}, places)")
        return self.current[register]

    def _zero(self, register):
        return f"{self._constant(self.kernel.register_type(register))}.type(0)"

    def _read(self, operand, dtype):
        """Return an expression for an operand's values."""
        if operand.startswith("{"):
            parts = names_of(operand)
            piece = np.dtype(f"u{dtype.itemsize // len(parts)}")
            return f"joined({self._constant(dtype)}, {', '.join(self._read(part, piece) for part in parts)})"
        if self.kernel.register_type(operand) is not None:
            register, kind = self._register(operand), self._constant(dtype)
            if self.types.get(register) is dtype:
                return register
            same = self.kernel.register_type(operand).itemsize == dtype.itemsize
            other = f"{register}.view({kind})" if same else f"seen_as({register}, {kind})"
            return f"({register} if {register}.dtype is {kind} else {other})"
        if operand in self.kernel.arrays:
            return self._constant(dtype.type(self.kernel.arrays[operand][0]))
        return self._constant(immediate(operand, dtype))

    def _translate(self, number, instruction):
        inputs, outputs, compute = instruction.decoded()
        compute = self._constant(compute)
        values = [self._read(operand, dtype) for operand, dtype in inputs]
        own, guarded = "lanes", bool(instruction.guard)
        if guarded:
            for register in {*outputs} - {"_"}:
                self._register(register, self._zero(register))
            self._add(f"own = active({self._register(instruction.guard)}, {instruction.negated})")
            self._add("if own is None or len(own):")
            values, own = [f"picked({value}, own)" for value in values], "picked(lanes, own)"
        before = [] if instruction.within_registers else ["threads", own]
        call = f"{compute}({', '.join([*before, *values])})"
        results = [f"r{number}_{i}" for i in range(len(outputs))]
        if not results:
            self._add(call, guarded)
            return
        if not instruction.within_registers:
            call = f"{', '.join(results)}, = {call}"
        else:
            call = f"{results[0]} = {call}" if len(results) == 1 else f"{', '.join(results)} = split({call}, {len(results)})"
        self._add(call, guarded)
        for register, result in zip(outputs, results, strict=True):
            if register == "_":
                continue
            dtype = self.kernel.register_type(register)
            kind = self._constant(dtype)
            if guarded:
                old = self.current[register]
                self._add(f"{old} = put({old}, own, {result}, {kind}, len(lanes))", deeper=True)
                self.types.pop(old, None)
            else:
                if instruction.name in ("ld", "cvt"):  # these alone may fill a wider register
                    self._add(f"if {result}.itemsize != {dtype.itemsize}: {result} = {result}.astype({kind})")
                self.current[register] = result
                if instruction.keeps_the_type and dtype.itemsize == instruction.types[-1].itemsize:
                    self.types[result] = instruction.types[-1]
            self.written.append(register)
