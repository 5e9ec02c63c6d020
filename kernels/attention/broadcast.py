"""attention with the whole n x m matrix of scores at once, as it is written on paper."""

import math

import numpy as np

from registry import register


@register("attention", "broadcast", batches=True, rank=30)
def attention(q, k, v, causal):
    (n, d), m = q.shape[-2:], k.shape[-2]
    if not m:
        return (q @ k.mT) @ v
    scores = (q / q.dtype.type(math.sqrt(max(1, d)))) @ k.mT
    if causal:
        scores[..., ~np.tri(n, m, m - n, dtype=bool)] = -np.inf
    largest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(largest), 0, largest).astype(q.dtype))
    total = weights.sum(axis=-1, keepdims=True)
    return (weights @ v) / np.where(total == 0, 1, total).astype(q.dtype)
