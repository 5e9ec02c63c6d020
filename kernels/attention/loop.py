"""attention, one query at a time: its score with each key it sees, the softmax of these, and the mean of the values."""

import math

import numpy as np

from registry import register


@register("attention", "loop", rank=10)
def attention(q, k, v, causal):
    (n, d), m = q.shape, len(k)
    y = np.zeros((n, v.shape[1]), q.dtype)
    for i in range(n):
        seen = max(0, i + m - n + 1) if causal else m
        scores = np.array([key @ q[i] for key in k[:seen]], q.dtype) / math.sqrt(max(1, d))
        if seen:
            weights = np.exp(scores - scores.max())
            for weight, value in zip(weights / weights.sum(), v[:seen], strict=True):
                y[i] += weight * value
    return y
