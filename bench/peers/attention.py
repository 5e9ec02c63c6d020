"""The peers of attention, beside the variant `torch`, which is one itself: torch's own mask, and NumPy as it is written."""

import math

import numpy as np

from peers import CATALOGUE


@CATALOGUE.register("attention", "torch is_causal", arrays="torch", requires=("torch",), precision="fused", batches=True)
def torch_is_causal(q, k, v, causal):
    """Call torch with its own causal mask, which is another where there are not as many queries as keys."""
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(q[None, None], k[None, None], v[None, None], is_causal=causal)[0, 0]


@CATALOGUE.register("attention", "NumPy", batches=True)
def numpy_softmax(q, k, v, causal):
    """Two products round a softmax over the whole matrix, in place."""
    scores = np.matmul(q, k.mT)
    scores /= q.dtype.type(math.sqrt(q.shape[-1]))
    if causal:
        scores[..., ~np.tri(*scores.shape[-2:], k.shape[-2] - q.shape[-2], dtype=bool)] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    return np.matmul(scores, v) / scores.sum(axis=-1, keepdims=True)
