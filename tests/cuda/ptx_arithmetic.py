"""What PTX's instructions compute, in NumPy, as the manual has it: whole numbers, floating point, conversions, tensor cores.

Source: NVIDIA, Parallel Thread Execution ISA, version 9.0.
"""

import numpy as np


class Unknown(Exception):
    """An instruction, or a form of one, that the machine has not been taught: it would have to guess."""


def upper_half(a, b):
    """Return the upper half of a product of integers; of 64-bit ones by their halves."""
    if a.itemsize == 4:
        return (a.astype(f"{a.dtype.kind}8") * b >> 32).astype(a.dtype)
    low, half = a.dtype.type(0xFFFFFFFF), a.dtype.type(32)
    carry = ((a & low).astype(np.uint64) * (b & low).astype(np.uint64) >> np.uint64(32)).astype(a.dtype)
    middle = (a >> half) * (b & low) + carry
    return (a >> half) * (b >> half) + (middle >> half) + (((middle & low) + (a & low) * (b >> half)) >> half)


def fma(a, b, c):
    """Round once: a product of float32 is exact in float64, and extended precision has eleven more bits than float64."""
    wider = np.float64 if a.dtype == np.float32 else np.longdouble
    return (a.astype(wider) * b + c).astype(a.dtype)


def fma_down(a, b, c):
    """Round float32 once, downwards: a product is exact in extended precision, and so is what its sum leaves out (Knuth)."""
    product, c = a.astype(np.longdouble) * b, c.astype(np.longdouble)
    total = product + c
    left = (product - (total - (total - product))) + (c - (total - product))
    rounded = total.astype(a.dtype)
    above = (rounded > total) | ((rounded == total) & (left < 0))
    return np.where(above, np.nextafter(rounded, a.dtype.type(-np.inf)), rounded)


def saturated(x):
    """Return what lies between 0 and 1, the nearer of them for what does not, and 0 for NaN."""
    if x.dtype.kind != "f":
        raise Unknown("sat of whole numbers")
    return np.where(x > 0, np.fmin(x, x.dtype.type(1)), x.dtype.type(0))


def exp2(x):
    """ex2.approx: within 2^-22 of the power."""
    off = np.where(x.view(np.uint32) & 1, 2.0**-22, -(2.0**-22))
    return (np.exp2(x.astype(np.float64)) * (1 + off)).astype(np.float32)


def divide(a, b):
    if a.dtype.kind == "f":
        return a / b
    return (a - np.fmod(a, b)) // b  # towards zero


def shift_left(a, bits):
    if not bits.ndim and bits < 8 * a.itemsize:
        return a << bits.astype(a.dtype)
    return np.where(bits < 8 * a.itemsize, a << np.minimum(bits, 8 * a.itemsize - 1).astype(a.dtype), a.dtype.type(0))


def shift_right(a, bits):
    if not bits.ndim and bits < 8 * a.itemsize:
        return a >> bits.astype(a.dtype)
    most = np.minimum(bits, 8 * a.itemsize - 1).astype(a.dtype)
    return np.where((bits < 8 * a.itemsize) | (a.dtype.kind == "i"), a >> most, a.dtype.type(0))


def permuted(a, b, selection):
    """Return four of the eight bytes of two words, each named by four bits of the selection."""
    named = [selection >> np.uint32(4 * i) & np.uint32(15) for i in range(4)]
    if np.any(named > np.uint32(7)):
        raise Unknown("prmt that repeats signs")
    both = np.uint64(a) | np.uint64(b) << np.uint64(32)
    taken = [both >> np.uint64(8 * byte) & np.uint64(255) for byte in named]
    return np.uint32(sum(byte << np.uint64(8 * i) for i, byte in enumerate(taken)))


def field(a, start, length):
    """Return `length` bits of a from `start` on, with their sign where a has one."""
    left = np.asarray(8 * a.itemsize - length, a.dtype)
    return a << (left - start) >> left


ROUNDINGS = {"rzi": np.trunc, "rpi": np.ceil, "rmi": np.floor, "rni": np.rint}


def half(value):
    return value.astype(np.float16).view(np.uint16)


def brain(value):
    """Round float32 to the nearest bfloat16, and ties to even."""
    bits = value.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(value), 0x7FFF, rounded).astype(np.uint16)


def convert(values, dtype, modifiers):
    rounding, value = (modifiers[0] if modifiers else None), values[0]
    if "bf16" in modifiers:  # without a rounding, from it: its bits are the upper ones of float32
        return brain(value) if rounding == "rn" else (value.view(np.uint32) << np.uint32(16)).view(np.float32)
    for pair, narrow in (("f16x2", half), ("bf16x2", brain)):
        if pair in modifiers:
            high, low = np.broadcast_arrays(*map(narrow, values))
            return np.stack((low, high), axis=-1).view(np.uint32)[..., 0]
    if rounding == "rna":  # TF32: to ten bits of a significand, and ties away from zero
        return ((value.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
    if rounding in ROUNDINGS:
        value = ROUNDINGS[rounding](value)
        if dtype.kind != "f":  # what is out of range becomes the nearest integer that is not, and NaN zero
            least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
            above, below = value >= float(most), value <= float(least)
            inside = np.where(above | below | np.isnan(value), 0, value).astype(dtype)
            return np.where(above, most, np.where(below, least, inside)).astype(dtype)
    return value.astype(dtype)


def fma_of_brains(a, b, c):
    """Add one bfloat16 to another, or to its opposite: what compilers write as a product by one and a sum.

    To round to float32 first changes nothing, since it has more than twice the digits and two more (Figueroa 1995).
    """
    a, b, c = ((bits.astype(np.uint32) << np.uint32(16)).view(np.float32) for bits in (a, b, c))
    if not np.all((np.abs(a) == 1) | (np.abs(b) == 1)):
        raise Unknown("fma of bfloat16 where neither factor is one: it would be rounded twice")
    return brain(a * b + c)


ARITHMETIC = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": divide,
    "rem": np.fmod,
    "abs": np.abs,
    "neg": np.negative,
    "not": np.invert,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "min": np.fmin,  # of NaN and a number the number
    "max": np.fmax,
    "copysign": lambda sign, size: np.copysign(size, sign),
    "sqrt": np.sqrt,
    "shl": shift_left,
    "shr": shift_right,
    "fma": fma,
    "selp": lambda a, b, first: np.where(first, a, b),
    "ex2": exp2,
    "mad": lambda a, b, c: a * b + c,
    "bfe": field,
    "prmt": permuted,
    "mov": lambda a: a,
    "cvta": lambda a: a,
}
COMPARISONS = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}


def compare(how, a, b):
    if a.dtype.kind != "f":
        return COMPARISONS[how](a, b)
    unordered = np.isnan(a) | np.isnan(b)
    if how in ("num", "nan"):
        return unordered == (how == "nan")
    return unordered | COMPARISONS[how[:2]](a, b) if how.endswith("u") else ~unordered & COMPARISONS[how](a, b)


KNOWN = {
    "lo",
    "hi",
    "wide",
    "rn",
    "rna",
    *ROUNDINGS,
    "approx",
    "ftz",
    "sat",
    "tf32",
    "f16x2",
    "bf16",
    "bf16x2",
    "to",
    "global",
    "shared",
}
KNOWN |= {how + unordered for how in COMPARISONS for unordered in ("", "u")} | {"num", "nan"}


def flushed(x):
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), x)


def fragments(shape):
    """Return for each matrix of a product in which of a warp's registers its entries lie: an array of 32 register + thread.

    Thread 4 g + q holds the entries of rows and columns that hang on g and q. A narrow entry counts as a register.
    """
    g, q = np.divmod(np.arange(32), 4)
    if shape == "m8n8k4":
        return _places(8, 4, [(g, q)]), _places(4, 8, [(q, g)]), _places(8, 8, [(g, 2 * q + r) for r in range(2)])
    sums = _places(16, 8, [(g + 8 * (r // 2), 2 * q + r % 2) for r in range(4)])
    if shape == "m16n8k8":
        left = _places(16, 8, [(g + 8 * (r % 2), q + 4 * (r // 2)) for r in range(4)])
        return left, _places(8, 8, [(q + 4 * r, g) for r in range(2)]), sums
    left = _places(16, 16, [(g + 8 * (r // 2 % 2), 2 * q + 8 * (r // 4) + r % 2) for r in range(8)])
    return left, _places(16, 8, [(2 * q + 8 * (r // 2) + r % 2, g) for r in range(4)]), sums


def _places(rows, columns, of_registers):
    places = np.empty((rows, columns), int)
    for register, (row, column) in enumerate(of_registers):
        places[row, column] = 32 * register + np.arange(32)
    return places


FRAGMENTS = {shape: fragments(shape) for shape in ("m8n8k4", "m16n8k8", "m16n8k16")}


def towards_zero(x):
    """Cut float64 to float32, as tensor cores cut sums (Fasi et al. 2021, Numerical behavior of NVIDIA tensor cores)."""
    rounded = x.astype(np.float32)
    return np.where(np.abs(rounded) > np.abs(x), np.nextafter(rounded, np.float32(0)), rounded)
