"""matmul compiled: B packed into panels that stay in cache, and a tile of C kept in registers along the inner dimension.

A tile is 3 vectors wide: each step along k loads them from a panel, and multiplies them by an entry of A for each row of the tile.
A is read in place, since along k its rows lie together as they are. Goto and van de Geijn, Anatomy of high-performance matrix
multiplication, 2008; Van Zee and van de Geijn, BLIS: a framework for rapidly instantiating BLAS functionality, 2015.
"""

import platform

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kernels._simd import BYTES, Vector
from kernels._threads import CORES, share_out
from registry import register

VECTORS = 3
ROWS = 8 if BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 4  # with 32 registers, or 16: 4 hold B and A
DEPTH = 384  # rows of B packed at a time
PANELS = 10  # and as many columns as this many tiles have: 720 KB where a register has 64 bytes
BLOCK = 96  # rows of A that stay near while the panels pass
SMALL = 16_000  # multiply-adds below which packing does not pay
SHARE = 4_000_000  # multiply-adds that are worth waking a thread


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


@njit(cache=True, nogil=True)
def pack(b, p, depth, j, end, packed):
    """Copy depth rows of B, between two columns, panel by panel; the last is filled up with zeros."""
    lanes = BYTES // b.itemsize
    wide = VECTORS * lanes
    for q in range(depth):
        at = q * wide
        whole = j + (end - j) // wide * wide
        for first in range(j, whole, wide):
            for v in range(wide):
                packed[at + v] = b[p + q, first + v]
            at += depth * wide
        if whole < end:
            narrow = (end - whole + lanes - 1) // lanes * lanes
            at += q * (narrow - wide)
            for v in range(narrow):
                packed[at + v] = b[p + q, whole + v] if whole + v < end else 0


@njit(cache=True, nogil=True)
def fill(a, b, c, top, bottom, left, right):
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
                    vectors = min(VECTORS, (end - j + lanes - 1) // lanes)
                    width = min(end - j, vectors * lanes)
                    at = (j - start) * depth
                    for i in range(block, stop, ROWS):
                        height = min(ROWS, stop - i)
                        if width == wide:
                            three_vectors(a, i, p, packed, at, depth, c, i, j, height, p > 0)
                            continue
                        if p > 0:
                            edge[:height, :width] = c[i : i + height, j : j + width]
                        if vectors == 3:
                            three_vectors(a, i, p, packed, at, depth, edge, 0, 0, height, p > 0)
                        elif vectors == 2:
                            two_vectors(a, i, p, packed, at, depth, edge, 0, 0, height, p > 0)
                        else:
                            one_vector(a, i, p, packed, at, depth, edge, 0, 0, height, p > 0)
                        c[i : i + height, j : j + width] = edge[:height, :width]


@njit(cache=True, nogil=True)
def fill_small(a, b, c):
    """Compute C where packing would take longer: row by row, along memory."""
    for i in range(len(a)):
        c[i] = 0
        for k in range(len(b)):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


@register("matmul", "numba", requires=("numba",), layout="C", rank=40)
def matmul(a, b):
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype)
    lanes = BYTES // a.itemsize

    def rows(start, stop):
        fill(a, b, c, start * ROWS, min(stop * ROWS, m), 0, n)

    def columns(start, stop):
        fill(a, b, c, 0, m, start * lanes, min(stop * lanes, n))

    if m * k * n <= SMALL:
        fill_small(a, b, c)
    elif n < m and n < 2 * CORES * VECTORS * lanes:
        share_out(rows, -(-m // ROWS), SHARE // (ROWS * k * n) + 1)
    else:
        share_out(columns, -(-n // lanes), SHARE // (lanes * k * m) + 1)
    return c
