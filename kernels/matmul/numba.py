"""matmul compiled: B packed into panels that stay in cache, and a tile of C kept in registers along the inner dimension.

A tile of C is TILE_ROWS rows of 3 vectors. For each k, three vectors of B are loaded from a panel, and each is multiplied by one
entry of A for each row of the tile. A needs no packing, since a row of A is contiguous along k.

References
----------
Goto and van de Geijn 2008, Anatomy of high-performance matrix multiplication. Van Zee and van de Geijn 2015, BLIS: a framework
for rapidly instantiating BLAS functionality.
"""

import math
import platform
from functools import cache, partial

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
THIN, SHARE, MAX_SHARES = 2**10, 2**21, 16  # a C of so few entries is summed in shares of k; multiply-adds of one, and how many


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
def fill_depth(a, b, c, top, bottom, left, right, first, last):
    """Compute c[top:bottom, left:right] from a[:, first:last] and b[first:last]."""
    lanes = BYTES // b.itemsize
    wide = TILE_VECTORS * lanes
    columns = min(PANELS * wide, (right - left + lanes - 1) // lanes * lanes)
    packed = np.empty(min(last - first, DEPTH) * columns + lanes, b.dtype)
    packed = packed[-packed.ctypes.data % BYTES // b.itemsize :]
    edge = np.empty((TILE_ROWS, wide), b.dtype)
    for start in range(left, right, columns):
        end = min(start + columns, right)
        for p in range(first, last, DEPTH):
            depth = min(DEPTH, last - p)
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
                        if p > first and not whole:
                            copy(c, i, j, edge, 0, 0, height, width)
                        if width > 2 * lanes:
                            three_vectors(a, i, p, packed, at, depth, target, row, column, height, p > first)
                        elif width > lanes:
                            two_vectors(a, i, p, packed, at, depth, target, row, column, height, p > first)
                        else:
                            one_vector(a, i, p, packed, at, depth, target, row, column, height, p > first)
                        if not whole:
                            copy(edge, 0, 0, c, i, j, height, width)


@jit
def fill_tiles(a, b, c, top, bottom, left, right):
    """Compute c[top:bottom, left:right]."""
    fill_depth(a, b, c, top, bottom, left, right, 0, len(b))


@jit
def fill_shares(a, b, c, start, stop):
    """Compute c[start:stop], each from a share of the inner dimension of its own; their sum is the product."""
    for share in range(start, stop):
        first, last = len(b) * share // len(c), len(b) * (share + 1) // len(c)
        fill_depth(a, b, c[share], 0, len(a), 0, b.shape[1], first, last)


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


@jit
def fill_outer(a, b, c, top, bottom, left, right):
    """Compute a C whose entries are one product each: the time goes into writing it."""
    entries = b[0, left:right]
    for i in range(top, bottom):
        factor, row = a[i, 0], c[i, left:right]
        for j in range(len(row)):
            row[j] = factor * entries[j]


@cache
def members_of(block):
    """Return a compiled function that computes members of a batch, from those of the operands that each one is made of."""

    @jit
    def fill_members(a, b, c, of_a, of_b, start, stop):
        for i in range(start, stop):
            block(a[of_a[i]], b[of_b[i]], c[i], 0, c.shape[1], 0, c.shape[2])

    return fill_members


@cache
def compiled(block, dtype, ndim, *further, of_c=None):
    """Compile once for a dtype. The operands' type is read-only, which writable arrays may be passed for as well."""
    number = from_dtype(dtype)
    operand, c = types.Array(number, ndim, "C", readonly=True), types.Array(number, of_c or ndim, "C")
    return block.compile((operand, operand, c, *further, types.intp, types.intp))


def filling(m, k, n, dtype):
    """Return a function that fills C of such extents."""
    block = compiled(block_for(m, k, n), dtype, 2, types.intp, types.intp)
    lanes = BYTES // dtype.itemsize
    high, wide = -(-m // TILE_ROWS), -(-n // lanes)  # C in tiles that are one vector wide
    grain = GRAIN // (TILE_ROWS * lanes * k) + 1  # of those
    count = min(MAX_SHARES, m * k * n // SHARE)

    def whole(a, b, c):
        block(a, b, c, 0, m, 0, n)

    def by_depth(a, b, c):
        shares, fill = np.empty((count, m, n), dtype), compiled(fill_shares, dtype, 2, of_c=3)
        parallel_for(partial(fill, a, b, shares), count, 1)
        shares.sum(axis=0, out=c)

    def by_rows(a, b, c):
        def rows(start, stop):
            block(a, b, c, start * TILE_ROWS, min(stop * TILE_ROWS, m), 0, n)

        parallel_for(rows, high, grain // wide + 1)

    def by_columns(a, b, c):
        def columns(start, stop):
            block(a, b, c, 0, m, start * lanes, min(stop * lanes, n))

        parallel_for(columns, wide, grain // high + 1)

    if count > 1 and m * k * n >= 2 * GRAIN and m * n <= THIN and min(m, n) > 1:
        return by_depth
    if high * wide < 2 * grain:
        return whole
    return by_rows if n < m and n < 2 * CORES * TILE_VECTORS * lanes else by_columns


def block_for(m, k, n):
    return fill_column if n == 1 else fill_row if m == 1 else fill_outer if k == 1 else fill_tiles


def filling_members(a, b, batch):
    """Return a function that fills each C of a batch, from arrays whose batch is one extent."""
    (m, k), n, count = a.shape[-2:], b.shape[-1], math.prod(batch)
    of_a, of_b = (
        np.broadcast_to(np.arange(math.prod(each.shape[:-2])).reshape(each.shape[:-2]), batch).flatten() for each in (a, b)
    )
    if m * k * n >= CORES * GRAIN:  # each is worth all threads
        fill = filling(m, k, n, a.dtype)

        def one_by_one(a, b, c):
            for i, (p, q) in enumerate(zip(of_a, of_b, strict=True)):
                fill(a[p], b[q], c[i])

        return one_by_one
    indices = types.Array(types.intp, 1, "C")
    block = compiled(members_of(block_for(m, k, n)), a.dtype, 3, indices, indices)

    def many(a, b, c):
        parallel_for(lambda start, stop: block(a, b, c, of_a, of_b, start, stop), count, GRAIN // (m * k * n) + 1)

    return many


def by_shape(a, b):
    """Return the function that multiplies arrays of such shapes and such a dtype."""
    if b.ndim == 1:
        column = by_shape(a, b[:, None])
        return lambda a, b: column(a, b[:, None])[..., 0][()]  # a scalar where nothing is left
    if a.ndim == 1:
        row = by_shape(a[None], b)
        return lambda a, b: row(a[None], b)[..., 0, :]
    dtype, (m, k), n = a.dtype, a.shape[-2:], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, m, n)
    if k == 0 or 0 in shape:
        return lambda a, b: np.zeros(shape, dtype)
    if b.ndim == 2:  # one product of all rows of a batch
        rows = math.prod(batch) * m
        fill, of_a, of_b, of_c = filling(rows, k, n, dtype), [rows, k], [k, n], [rows, n]
    else:
        fill, of_a, of_b, of_c = filling_members(a, b, batch), [-1, m, k], [-1, k, n], [-1, m, n]

    def product(a, b):
        c = np.empty(shape, dtype)
        fill(a.reshape(of_a), b.reshape(of_b), c.reshape(of_c))
        return c

    def of_matrices(a, b):
        c = np.empty(shape, dtype)
        fill(a, b, c)
        return c

    return product if batch else of_matrices


@register("matmul", "numba", requires=("numba",), layout="C", batches=True, rank=40)
def matmul(a, b):
    return by_shape(a, b)(a, b)


matmul.narrowed = by_shape  # type: ignore[attr-defined]
