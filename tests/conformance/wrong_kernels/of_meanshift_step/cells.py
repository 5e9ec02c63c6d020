"""Wrong kernels of a step by grids of cells, and with whole numbers that go round."""

import numpy as np
from wrong_kernels.of_meanshift_step.plain import distances, move, step, weights_of


def within_cells(x, bandwidth, data, kernel, see):
    """Leave compact weights only where `see` says that the cells of two points are neighbours."""
    w = weights_of(distances(x, bandwidth, data), kernel)
    if kernel == "gaussian" or not x.shape[1]:
        return move(x, data, w)
    return move(x, data, w * see(x[:, None] / bandwidth, data[None] / bandwidth))


def own_cell_only(x, bandwidth, *, data, kernel):
    """A grid of cells of one bandwidth, and no look at the neighbours."""
    return within_cells(x, bandwidth, data, kernel, lambda p, q: (np.floor(p) == np.floor(q)).all(axis=2))


def diagonal_cells_missed(x, bandwidth, *, data, kernel):
    """Cells that touch at a corner are not neighbours."""
    return within_cells(x, bandwidth, data, kernel, lambda p, q: np.abs(np.floor(p) - np.floor(q)).sum(axis=2) <= 1)


def negative_cells_wrap(x, bandwidth, *, data, kernel):
    """The cell's number is unsigned: -1 is far from 0."""

    def see(p, q):
        p, q = (np.floor(np.clip(a, -30000, 30000)).astype(np.int64) & 0xFFFF for a in (p, q))
        return (np.abs(p - q) <= 1).all(axis=2)

    return within_cells(x, bandwidth, data, kernel, see)


def negative_cells_truncated(x, bandwidth, *, data, kernel):
    """int() rounds towards zero: left of the origin, the nearer of two neighbour cells is on the wrong side."""

    def see(p, q):
        p, q = p / 2, q / 2  # cells of two bandwidths: one side of each is in reach
        own, other = np.trunc(p), np.trunc(q)
        return ((own == other) | (other == own + np.where(p - own < 0.5, -1, 1))).all(axis=2)

    return within_cells(x, bandwidth, data, kernel, see)


# Whole numbers that go round


def _numbered(bits, signed, p, q):
    """Whether the cells of points, numbered in so many bits, are neighbours."""
    lift = 2 ** (bits - 1) if signed else 0
    with np.errstate(invalid="ignore"):
        p, q = (((np.floor(np.clip(a, -(2.0**60), 2.0**60)).astype(np.int64) + lift) & (2**bits - 1)) - lift for a in (p, q))
    return (np.abs(p - q) <= 1).all(axis=2)


def cells_in_8_bits(x, bandwidth, *, data, kernel):
    """A cell's number is a signed byte: 127 and 128 are no neighbours."""
    return within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(8, True, p, q))


def cells_in_16_bits(x, bandwidth, *, data, kernel):
    """A cell's number is a short: 32,767 and 32,768 are no neighbours."""
    return within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(16, True, p, q))


def cells_in_32_bits(x, bandwidth, *, data, kernel):
    """A cell's number has 32 bits: 2^31 - 1 and 2^31 are no neighbours."""
    return within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(32, True, p, q))


def cells_from_the_least_in_16_bits(x, bandwidth, *, data, kernel):
    """Cells are numbered from the least coordinate, in an unsigned short."""
    least = np.floor(np.minimum(x.min(axis=0), data.min(axis=0)) / bandwidth) if x.size else 0
    return within_cells(x, bandwidth, data, kernel, lambda p, q: _numbered(16, False, p - least, q - least))


def rows_counted_in_16_bits(x, bandwidth, *, data, kernel):
    """The row's number is an unsigned short: past 65,535 the first rows are moved again."""
    return step(x[np.arange(len(x)).astype(np.uint16)], bandwidth, data, kernel)


def data_counted_in_16_bits(x, bandwidth, *, data, kernel):
    """The number of a datum is a short: past 32,767 data is read from the other end."""
    return step(x, bandwidth, data[np.arange(len(data)).astype(np.int16)] if len(data) < 2**16 else data, kernel)


def far_tie_goes_to_the_first(x, bandwidth, *, data, kernel):
    """Where all data is more than a million bandwidths away only the nearest counts, the first of them."""
    q2 = distances(x, bandwidth, data)
    far = (q2.min(axis=1, initial=np.inf) > 1e12)[:, None] & (kernel == "gaussian")
    return np.where(far, data[q2.argmin(axis=1)], step(x, bandwidth, data, kernel)) if q2.size else x.copy()


def far_distances_in_32_bits(x, bandwidth, *, data, kernel):
    """The nearest far away are found by whole half bandwidths in 32 bits, which end sooner on one side of zero."""
    if kernel != "gaussian" or not x.size:
        return step(x, bandwidth, data, kernel)
    q2 = distances(x, bandwidth, data)
    least = q2.min(axis=1, keepdims=True)
    steps = np.abs(np.clip(np.rint(2 * ((data[:, 0] - x[:, None, 0]) / bandwidth).astype(float)), -(2**31), 2**31 - 1))
    further = (least > 1e12) & (steps > np.where(q2 == least, steps, np.inf).min(axis=1, keepdims=True))
    return move(x, data, np.where(further, 0, weights_of(q2, kernel)))


WRONG = (
    own_cell_only,
    diagonal_cells_missed,
    negative_cells_wrap,
    negative_cells_truncated,
    cells_in_8_bits,
    cells_in_16_bits,
    cells_in_32_bits,
    cells_from_the_least_in_16_bits,
    rows_counted_in_16_bits,
    data_counted_in_16_bits,
    far_tie_goes_to_the_first,
    far_distances_in_32_bits,
)
