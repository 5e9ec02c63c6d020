"""Right kernels for standardize, written oddly, and what wrong ones are made from."""

import numpy as np

quiet = np.errstate(all="ignore")


def _from_the_middle(x):
    """Return the differences from the middle of each column's range over the largest, and where a column is constant."""
    low, high = x.min(axis=0), x.max(axis=0)
    constant = low == high
    apart = x - (low / 2 + high / 2)
    return apart / np.where(constant, 1, np.abs(apart).max(axis=0)), constant, low - high


def made(x, standardized):
    """Apply a function to scaled differences; constant columns are filled in afterwards."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    apart, constant, filled = _from_the_middle(x)
    y = np.array(standardized(apart), x.dtype)
    y[:, constant] = filled[constant]
    return y


def two_passes(apart):
    apart = apart - apart.mean(axis=0)
    return apart / np.sqrt((apart**2).mean(axis=0))


@quiet
def from_the_middle(x):
    """Two passes over the differences from the middle of each column's range."""
    return made(x, two_passes)


@quiet
def welford(x):
    """Mean and squares are updated row by row (Welford 1962)."""

    def of(z):
        mean, squares = np.zeros((2, z.shape[1]), z.dtype)
        for i, row in enumerate(z):
            apart = row - mean
            mean = mean + apart / z.dtype.type(i + 1)
            squares = squares + apart * (row - mean)
        return (z - mean) / np.sqrt(squares / z.dtype.type(len(z)))

    return made(x, of)


@quiet
def halves_merged(x):
    """Means and squares of the two halves of the rows are merged, and those of theirs (Chan, Golub and LeVeque 1983)."""

    def summary(z):
        if len(z) == 1:
            return z[0], np.zeros_like(z[0])
        at = len(z) // 2
        (a, squares_a), (b, squares_b) = summary(z[:at]), summary(z[at:])
        share = z.dtype.type((len(z) - at) / len(z))
        return a + (b - a) * share, squares_a + squares_b + (b - a) ** 2 * at * share

    def of(z):
        mean, squares = summary(z)
        return (z - mean) * (1 / np.sqrt(squares / z.dtype.type(len(z))))

    return made(x, of)


@quiet
def from_the_first_row(x):
    """Differences from the first row, of quarters where the column is large enough for these to be exact."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    quarter = np.where(np.abs(x).max(axis=0) > 1, x.dtype.type(0.25), x.dtype.type(1))
    apart = x * quarter - x[0] * quarter
    constant = (apart == 0).all(axis=0)
    y = two_passes(apart / np.where(constant, 1, np.abs(apart).max(axis=0)))
    y[:, constant] = (x - x)[:, constant]
    return y.astype(x.dtype)


@quiet
def from_the_mean_twice(x):
    """Differences from the mean, scaled first, and then from the mean of those, and so once more."""
    if not x.size:
        return np.empty(x.shape, x.dtype)
    low, high = x.min(axis=0), x.max(axis=0)
    _, exponent = np.frexp(np.maximum(np.abs(low), np.abs(high)))
    exponent = np.where(np.isfinite(low - low + high - high), exponent, 0)
    z = np.ldexp(x, -exponent)
    apart = z - np.clip(z.mean(axis=0), z.min(axis=0), z.max(axis=0))
    apart = apart / np.where(low == high, 1, np.abs(apart).max(axis=0))
    y = two_passes(apart - apart.mean(axis=0))
    y[:, low == high] = (low - high)[low == high]
    return y


@quiet
def wider_inside(x):
    """Everything in extended precision, rounded once."""
    z = x.astype(np.longdouble)
    z = z - z[:1]
    y = z - z.mean(axis=0) if len(z) else z
    spread = np.sqrt((y**2).mean(axis=0)) if len(z) else 1
    return np.where((z == 0).all(axis=0), 0, y / spread).astype(x.dtype)


@quiet
def column_by_column(x):
    """One column at a time, into an array in Fortran order."""
    y = np.empty(x.shape, x.dtype, order="F")
    for j in range(x.shape[1]):
        y[:, j : j + 1] = from_the_middle(x[:, j : j + 1])
    return y


RIGHT = (from_the_middle, welford, halves_merged, from_the_first_row, from_the_mean_twice, wider_inside, column_by_column)
