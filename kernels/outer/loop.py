"""outer by its definition: two loops over numbers."""

import operator

import numpy as np

from registry import register

OPERATORS = {
    "multiply": operator.mul,
    "add": operator.add,
    "subtract": operator.sub,
    "less": operator.lt,
    "less_equal": operator.le,
    "equal": operator.eq,
}


@register("outer", "loop", dtypes=("bool", "numeric"), rank=10)
@np.errstate(all="ignore")  # NumPy's integer scalars warn when they wrap; its arrays do not
def outer(a, b, function):
    f = OPERATORS[function]
    c = np.empty((len(a), len(b)), bool if function in ("less", "less_equal", "equal") else a.dtype)
    for i in range(len(a)):
        for j in range(len(b)):
            c[i, j] = f(a[i], b[j])
    return c
