"""matmul compiled: B packed into panels that stay in cache, and a tile of C kept in registers along the inner dimension.

A tile of C is TILE_ROWS rows of 3 vectors. For each k, three vectors of B are loaded from a panel, and each is multiplied by one
entry of A for each row of the tile. A needs no packing, since a row of A is contiguous along k.

References
----------
Goto and van de Geijn 2008, Anatomy of high-performance matrix multiplication. Van Zee and van de Geijn 2015, BLIS: a framework
for rapidly instantiating BLAS functionality.
"""

import platform
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numba.np.numpy_support import from_dtype

from kernels._compute.jit import jit
from kernels._compute.simd import BYTES, Vector, emit_splat, entry_pointer, load, store
from kernels._compute.threads import CORES, parallel_for
from registry import register

TILE_VECTORS = 3
TILE_ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # of 32 registers, or 16; 4 hold B and A
DEPTH = 512  # rows of B that are packed at a time
PANELS = 6  # panels that are packed at a time, each as wide as a tile: 590 KB in all where a register has 64 bytes
BLOCK = 96  # rows of A that stay in cache while all packed panels are read
GRAIN = 10_000_000  # multiply-adds that are worth waking a thread


def tile_of(vectors):
    """Return a function that multiplies a few rows of A by a panel of so many vectors, and writes or adds the product to C."""

    @intrinsic
    def tile(_, a, i, p, panel, at, depth, c, row, j, height, add):
        vector = Vector(a.dtype)

        def generate(context, builder, signature, operands):
            _, i, p, _, at, depth, _, row, j, height, add = operands
            word, item = i.type, BYTES // vector.lanes
            packed = make_array(panel)(context, builder, operands[3])

            def vectors_at(start):
                starts = [builder.gep(start, [word(v * vector.lanes)]) for v in range(vectors)]
                return [builder.bitcast(start, vector.ir.as_pointer()) for start in starts]

            # A tile at the bottom edge repeats its last row instead of leaving the arrays: it stores the same numbers twice.
            last = builder.sub(height, word(1))
            rows = [builder.select(builder.icmp_signed("<", word(r), last), word(r), last) for r in range(TILE_ROWS)]
            factors = [entry_pointer(context, builder, a, operands[0], builder.add(i, r), p) for r in rows]
            firsts = [entry_pointer(context, builder, c, operands[6], builder.add(row, r), j) for r in rows]
            tile = [entries for first in firsts for entries in vectors_at(first)]
            start = builder.gep(packed.data, [at])
            sums = [cgutils.alloca_once(builder, vector.ir) for _ in tile]  # LLVM's optimiser turns these into registers
            with builder.if_else(add) as (join, replace):
                with join:
                    for total, entries in zip(sums, tile, strict=True):
                        builder.store(builder.load(entries, align=item), total)
                with replace:
                    for total in sums:
                        builder.store(ir.Constant(vector.ir, None), total)
            with cgutils.for_range(builder, depth) as loop:
                step = builder.gep(start, [builder.mul(loop.index, word(vectors * vector.lanes))])
                entries = [builder.load(place, align=BYTES) for place in vectors_at(step)]
                for r, row in enumerate(factors):
                    factor = emit_splat(builder, vector, builder.load(builder.gep(row, [loop.index])))
                    for entry, total in zip(entries, sums[r * vectors :], strict=False):
                        product = builder.fmul(factor, entry, flags=("contract",))
                        builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
            for total, entries in zip(sums, tile, strict=True):
                builder.store(builder.load(total), entries, align=item)
            return context.get_dummy_value()

        return types.void(a, i, p, panel, at, depth, c, row, j, height, add), generate

    return tile


one_vector, two_vectors, three_vectors = (tile_of(vectors) for vectors in (1, 2, 3))


@jit
def pack(b, p, depth, j, end, packed):
    """Copy b[p : p + depth, j:end] into panels. Lanes past the last column hold whatever follows: no result uses them."""
    flat, n, lanes = b.reshape(-1), b.shape[1], BYTES // b.itemsize
    wide = TILE_VECTORS * lanes
    whole = j + (end - j) // wide * wide
    for q in range(depth):
        source, at = (p + q) * n, q * wide
        for first in range(j, whole, wide):
            for v in range(TILE_VECTORS):
                store(packed, at + v * lanes, load(flat, source + first + v * lanes))
            at += depth * wide
    at = (whole - j) * depth
    for q in range(depth):
        for first in range((p + q) * n + whole, (p + q) * n + end, lanes):
            if first + lanes <= flat.size:
                store(packed, at, load(flat, first))
            else:
                for v in range(flat.size - first):
                    packed[at + v] = flat[first + v]
            at += lanes


@jit
def copy(source, i, j, target, row, column, height, width):
    for r in range(height):
        for s in range(width):
            target[row + r, column + s] = source[i + r, j + s]


@jit
def fill_tiles(a, b, c, top, bottom, left, right):
    """Compute c[top:bottom, left:right]."""
    k, lanes = len(b), BYTES // b.itemsize
    wide = TILE_VECTORS * lanes
    columns = min(PANELS * wide, (right - left + lanes - 1) // lanes * lanes)
    packed = np.empty(min(k, DEPTH) * columns + lanes, b.dtype)
    packed = packed[-packed.ctypes.data % BYTES // b.itemsize :]
    edge = np.empty((TILE_ROWS, wide), b.dtype)
    for start in range(left, right, columns):
        end = min(start + columns, right)
        for p in range(0, k, DEPTH):
            depth = min(DEPTH, k - p)
            pack(b, p, depth, start, end, packed)
            for block in range(top, bottom, BLOCK):
                stop = min(block + BLOCK, bottom)
                for j in range(start, end, wide):
                    at, width = (j - start) * depth, min(wide, end - j)
                    whole = width % lanes == 0
                    target = c if whole else edge
                    for i in range(block, stop, TILE_ROWS):
                        height = min(TILE_ROWS, stop - i)
                        row, column = (i, j) if whole else (0, 0)
                        if p > 0 and not whole:
                            copy(c, i, j, edge, 0, 0, height, width)
                        if width > 2 * lanes:
                            three_vectors(a, i, p, packed, at, depth, target, row, column, height, p > 0)
                        elif width > lanes:
                            two_vectors(a, i, p, packed, at, depth, target, row, column, height, p > 0)
                        else:
                            one_vector(a, i, p, packed, at, depth, target, row, column, height, p > 0)
                        if not whole:
                            copy(edge, 0, 0, c, i, j, height, width)


@jit(fastmath={"contract", "reassoc"})
def fill_column(a, b, c, top, bottom, _left, _right):
    """Compute a C of one column: B is then contiguous along k, as the rows of A are, and each entry is one dot product."""
    column = b.reshape(-1)
    for i in range(top, bottom):
        row, total = a[i], a.dtype.type(0)
        for p in range(len(column)):
            total += row[p] * column[p]
        c[i, 0] = total


@jit(fastmath={"contract"})
def fill_row(a, b, c, _top, _bottom, left, right):
    """Compute a C of one row. B is used once, so packing would not pay; four of its rows at a time save passes over C."""
    row = c[0, left:right]
    row[:] = 0
    for p in range(0, len(b) - 3, 4):
        w, x, y, z = a[0, p], a[0, p + 1], a[0, p + 2], a[0, p + 3]
        s, t, u, v = b[p, left:right], b[p + 1, left:right], b[p + 2, left:right], b[p + 3, left:right]
        for j in range(len(row)):
            row[j] += w * s[j] + x * t[j] + y * u[j] + z * v[j]
    for p in range(len(b) // 4 * 4, len(b)):
        for j in range(len(row)):
            row[j] += a[0, p] * b[p, left + j]


@cache
def compiled(block, dtype):
    """Compile once for a dtype. The operands' type is read-only, which writable arrays may be passed for as well."""
    number = from_dtype(dtype)
    operand = types.Array(number, 2, "C", readonly=True)
    return block.compile((operand, operand, types.Array(number, 2, "C"), *[types.intp] * 4))


@register("matmul", "numba", requires=("numba",), layout="C", rank=40)
def matmul(a, b):
    (m, k), n = a.shape, b.shape[1]
    if 0 in (m, k, n):
        return np.zeros((m, n), a.dtype)
    c, lanes = np.empty((m, n), a.dtype), BYTES // a.itemsize
    block = compiled(fill_column if n == 1 else fill_row if m == 1 else fill_tiles, a.dtype)
    high, wide = -(-m // TILE_ROWS), -(-n // lanes)  # C in tiles that are one vector wide
    grain = GRAIN // (TILE_ROWS * lanes * k) + 1  # of those

    def rows(start, stop):
        block(a, b, c, start * TILE_ROWS, min(stop * TILE_ROWS, m), 0, n)

    def columns(start, stop):
        block(a, b, c, 0, m, start * lanes, min(stop * lanes, n))

    if high * wide < 2 * grain:
        block(a, b, c, 0, m, 0, n)
    elif n < m and n < 2 * CORES * TILE_VECTORS * lanes:
        parallel_for(rows, high, grain // wide + 1)
    else:
        parallel_for(columns, wide, grain // high + 1)
    return c
