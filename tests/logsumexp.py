"""An operation in 25 lines, whose bound, draws and refusals follow from its definition, and a right kernel of it."""

import numpy as np

LOGSUMEXP = '''"""logsumexp: the logarithm of a row's sum of exponentials."""

from __future__ import annotations

from array_api_compat import array_namespace

from kernels._definition.rounding import pivot


def logsumexp(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """Logarithm of the sum of exponentials over the last axis.

    Parameters
    ----------
    x : array, shape (..., n)
        Floating, n at least 1.

    Returns
    -------
    array, shape (...)
    """
    xp = array_namespace(x)
    most = pivot(xp.max(x, axis=-1, keepdims=True))
    return most[..., 0] + xp.log(xp.sum(xp.exp(x - most), axis=-1))
'''


def by_rows(x):
    most = x.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log(np.exp(x - most).sum(axis=-1)), x.dtype)
