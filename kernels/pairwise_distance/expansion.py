"""pairwise_distance through a matrix product: |a - b|^2 = |a|^2 + |b|^2 - 2 a.b.

The squares cancel where points are near each other; far from the origin nothing would be left, so the points are centred on the
mean of y first. What is lost of a squared distance goes by the largest; the class of error "expansion" allows for it. A power
of two scales the points, so that no square overflows or vanishes.
"""

import numpy as np

from registry import register


@register("pairwise_distance", "expansion", precision="expansion", limits={"metric": ("euclidean", "sqeuclidean")}, rank=40)
@np.errstate(all="ignore")
def pairwise_distance(x, y, metric):
    if 0 in (*x.shape, *y.shape):
        return np.zeros((len(x), len(y)), x.dtype)
    centre = y.mean(axis=0)
    a, b = x - centre, y - centre
    _, exponent = np.frexp(max(np.abs(a).max(), np.abs(b).max()))
    a, b = np.ldexp(a, -exponent), np.ldexp(b, -exponent)
    squares = a @ b.T
    squares *= -2
    squares += (a**2).sum(axis=1)[:, None]
    squares += (b**2).sum(axis=1)
    np.maximum(squares, 0, out=squares)
    return np.ldexp(np.sqrt(squares), exponent) if metric == "euclidean" else np.ldexp(squares, 2 * exponent)
