"""What is measured of attention."""

import numpy as np

from works import Work, normal

queries_keys_values = normal("n d", "m d", "m e")


def softmax_mean(n, m, d, causal=False, **more):
    """Return attention with as many entries in a value as in a key as a work."""
    heading = "attention {n:,} x {m:,}, d = {d}, causal {causal}, {dtype}"
    return Work("attention", queries_keys_values, {"n": n, "m": m, "d": d, "e": d}, heading, {"causal": causal}, **more)


PEERS = ("torch", "torch is_causal", "NumPy")
WORKS = [
    *[softmax_mean(2_048, 2_048, 64, causal, ours=("numba", "online"), peers=PEERS) for causal in (False, True)],
    *[softmax_mean(n, n, 64, ours=("numba",), peers=("torch",)) for n in (128, 512, 4_096)],
    softmax_mean(1_024, 1_024, 128, ours=("numba",), peers=("torch",)),
    softmax_mean(2_048, 2_048, 64, dtype="float64", ours=("numba",), peers=("torch",)),
    softmax_mean(16, 4_096, 64, True, ours=("numba",), peers=PEERS),  # the last few words of a long text
]
ON_DEVICE = [
    softmax_mean(n, n, d, causal, dtype=dtype)
    for dtype in ("float32", "float16", "bfloat16")
    for n, d in ((2_048, 64), (8_192, 64), (8_192, 128))
    for causal in (False, True)
]


def ceiling(record):
    """Name torch's own product of the same format."""
    return f"matmul {record['dtype']}"


def crossing_tiles(stand_in):
    """Yield calls whose extents are no multiples of a tile's, with more queries than keys and fewer; a stand-in's are smaller."""
    rng = np.random.default_rng(0)
    for n, m, d, e in [(5, 9, 3, 2), (9, 5, 17, 18)] if stand_in else [(70, 150, 30, 20), (150, 70, 140, 150)]:
        for causal in (False, True):
            yield queries_keys_values(rng, n=n, m=m, d=d, e=e), {"causal": causal}
