"""matmul compiled: B packed into panels that stay in cache, and a tile of C kept in registers along the inner dimension.

A tile is 3 vectors wide: each step along k loads them from a panel and multiplies them by an entry of A for each row of the tile.
A is read in place, since along k its rows lie together as they are. Goto and van de Geijn, Anatomy of high-performance matrix
multiplication, 2008; Van Zee and van de Geijn, BLIS: a framework for rapidly instantiating BLAS functionality, 2015.
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
from kernels._compute.simd import BYTES, Vector, load, store
from kernels._compute.threads import CORES, share_out
from registry import register

VECTORS = 3
ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # with 32 registers, or 16: 4 hold B and A
DEPTH = 512  # rows of B packed at a time
PANELS = 6  # and as many columns as this many tiles have: 590 KB where a register has 64 bytes
BLOCK = 96  # rows of A that stay near while the panels pass
SHARE = 10_000_000  # multiply-adds that are worth waking a thread


def tile_of(vectors):
    """Make the function that multiplies ROWS rows of A and a panel of so many vectors, and sets C to that or adds it."""

    @intrinsic
    def tile(_, a, i, p, panel, at, depth, c, row, j, height, add):
        vector = Vector(a.dtype)

        def generate(context, builder, signature, operands):
            _, i, p, _, at, depth, _, row, j, height, add = operands
            word, item = i.type, BYTES // vector.lanes
            a, panel, c = (make_array(signature.args[x])(context, builder, operands[x]) for x in (0, 3, 6))

            def pointer(array, i, j):
                return builder.gep(array.data, [builder.add(builder.mul(i, builder.extract_value(array.shape, 1)), j)])

            def vectors_at(start):
                starts = [builder.gep(start, [word(v * vector.lanes)]) for v in range(vectors)]
                return [builder.bitcast(start, vector.ir.as_pointer()) for start in starts]

            def splat(scalar):
                one = builder.insert_element(ir.Constant(vector.ir, ir.Undefined), scalar, ir.IntType(32)(0))
                return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), None))

            # Past the last row comes that one again, computed and stored the same: a tile at the edge stays within its arrays.
            last = builder.sub(height, word(1))
            rows = [builder.select(builder.icmp_signed("<", word(r), last), word(r), last) for r in range(ROWS)]
            factors = [pointer(a, builder.add(i, r), p) for r in rows]
            tile = [entries for r in rows for entries in vectors_at(pointer(c, builder.add(row, r), j))]
            panel = builder.gep(panel.data, [at])
            sums = [cgutils.alloca_once(builder, vector.ir) for _ in tile]  # registers, once LLVM is through
            with builder.if_else(add) as (join, replace):
                with join:
                    for total, entries in zip(sums, tile, strict=True):
                        builder.store(builder.load(entries, align=item), total)
                with replace:
                    for total in sums:
                        builder.store(ir.Constant(vector.ir, None), total)
            with cgutils.for_range(builder, depth) as loop:
                step = builder.gep(panel, [builder.mul(loop.index, word(vectors * vector.lanes))])
                entries = [builder.load(place, align=BYTES) for place in vectors_at(step)]
                for r, row in enumerate(factors):
                    factor = splat(builder.load(builder.gep(row, [loop.index])))
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
    """Copy depth rows of B, between two columns, panel by panel; lanes past the last get what follows in memory."""
    flat, n, lanes = b.reshape(-1), b.shape[1], BYTES // b.itemsize
    wide = VECTORS * lanes
    whole = j + (end - j) // wide * wide
    for q in range(depth):
        source, at = (p + q) * n, q * wide
        for first in range(j, whole, wide):
            for v in range(VECTORS):
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
    """Compute a block of C."""
    k, lanes = len(b), BYTES // b.itemsize
    wide = VECTORS * lanes
    columns = min(PANELS * wide, (right - left + lanes - 1) // lanes * lanes)
    packed = np.empty(min(k, DEPTH) * columns + lanes, b.dtype)
    packed = packed[-packed.ctypes.data % BYTES // b.itemsize :]
    edge = np.empty((ROWS, wide), b.dtype)
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
                    for i in range(block, stop, ROWS):
                        height = min(ROWS, stop - i)
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
    """Compute a C of one column, whose dot products run along memory as they are."""
    column = b.reshape(-1)
    for i in range(top, bottom):
        row, total = a[i], a.dtype.type(0)
        for p in range(len(column)):
            total += row[p] * column[p]
        c[i, 0] = total


@jit(fastmath={"contract"})
def fill_row(a, b, c, _top, _bottom, left, right):
    """Compute a C of one row: a B used once is not worth a copy, and four of its rows at a time spare the passes over C."""
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
    """Compile for read-only operands, which others can stand in for: once for a dtype, not for each mix of flags."""
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
    high, wide = -(-m // ROWS), -(-n // lanes)  # C in tiles of one vector
    least = SHARE // (ROWS * lanes * k) + 1  # of those

    def rows(start, stop):
        block(a, b, c, start * ROWS, min(stop * ROWS, m), 0, n)

    def columns(start, stop):
        block(a, b, c, 0, m, start * lanes, min(stop * lanes, n))

    if high * wide < 2 * least:
        block(a, b, c, 0, m, 0, n)
    elif n < m and n < 2 * CORES * VECTORS * lanes:
        share_out(rows, high, least // wide + 1)
    else:
        share_out(columns, wide, least // high + 1)
    return c
