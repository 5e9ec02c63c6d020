"""attention, one query at a time: its scores with the keys that it sees, their softmax, and the mean of the values."""

import math

import numpy as np

from registry import register


@register("attention", "loop", rank=10)
def attention(q, k, v, causal):
    (n, d), m = q.shape, len(k)
    y = np.zeros((n, v.shape[1]), q.dtype)
    for i in range(n):
        seen = max(0, i + m - n + 1) if causal else m
        if seen:
            scores = k[:seen] @ q[i] / q.dtype.type(math.sqrt(max(1, d)))
            weights = np.exp(scores - scores.max())
            y[i] = weights / weights.sum() @ v[:seen]
    return y
