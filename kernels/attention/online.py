"""attention in one pass over blocks of keys, with a running maximum and running sums: of the scores, n x 256 are kept at a time.

Where a block raises a row's maximum, what the row has summed so far is multiplied by exp(old maximum - new maximum).

References
----------
Milakov and Gimelshein 2018, Online normalizer calculation for softmax, algorithm 3. Dao, Fu, Ermon, Rudra and Re 2022,
FlashAttention, section 3.1.
"""

import math

import numpy as np

from registry import register

BLOCK = 256


@register("attention", "online", rank=40)
def attention(q, k, v, causal):
    (n, d), m, real = q.shape, len(k), q.dtype.type
    q = q / real(math.sqrt(max(1, d)))
    y, total = np.zeros((n, v.shape[1]), q.dtype), np.zeros((n, 1), q.dtype)
    largest = np.full((n, 1), -np.inf, q.dtype)
    for start in range(0, m, BLOCK):
        scores = q @ k[start : start + BLOCK].T
        if causal:
            scores[~np.tri(n, scores.shape[1], m - n - start, dtype=bool)] = -np.inf
        before, largest = largest, np.maximum(largest, scores.max(axis=1, keepdims=True, initial=-np.inf))
        shift = np.where(np.isinf(largest), 0, largest).astype(q.dtype)  # of rows that have seen no key yet
        kept, weights = np.exp(before - shift), np.exp(scores - shift)
        y = kept * y + weights @ v[start : start + BLOCK]
        total = kept * total + weights.sum(axis=1, keepdims=True)
    return y / np.where(total == 0, 1, total).astype(q.dtype)
