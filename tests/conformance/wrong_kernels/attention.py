"""Negative controls for attention alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np

TILE = 64


def _scores(q, k, scale=None):
    """The scores of all keys for all queries."""
    real = q.dtype.type
    return (q * real(1 / np.sqrt(max(1, q.shape[-1])) if scale is None else scale)) @ np.swapaxes(k, -1, -2)


def _seen(n, m, shift=None):
    """Which keys a row sees with a causal mask: those up to its own place, counted from the end."""
    return np.tri(n, m, m - n if shift is None else shift, dtype=bool)


def _masked(scores, causal, value=-np.inf, shift=None):
    return np.where(_seen(*scores.shape[-2:], shift), scores, scores.dtype.type(value)) if causal else scores


def _weights(scores):
    """Exponentials relative to the row's largest; all 0 in a row of -inf."""
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    return np.exp(scores - np.where(np.isinf(largest), 0, largest).astype(scores.dtype))


def _mean(weights, v):
    total = weights.sum(axis=-1, keepdims=True)
    return (weights @ v) / np.where(total == 0, 1, total).astype(v.dtype)


def _attention(q, k, v, causal):
    return _mean(_weights(_masked(_scores(q, k), causal)), v)


def _online(q, k, v, causal, tile=TILE, rescale_sums=True, rescale_total=True, start=-np.inf):
    """One pass over tiles of keys, with a running maximum and running sums."""
    scores = _masked(_scores(q, k), causal)
    y = np.zeros(np.broadcast_shapes(scores.shape[:-1], (*v.shape[:-2], 1)) + v.shape[-1:], q.dtype)
    total, largest = np.zeros((*scores.shape[:-1], 1), q.dtype), np.full((*scores.shape[:-1], 1), start, q.dtype)
    for first in range(0, k.shape[-2], tile):
        part = scores[..., first : first + tile]
        before, largest = largest, np.maximum(largest, part.max(axis=-1, keepdims=True))
        shift = np.where(np.isinf(largest), 0, largest).astype(q.dtype)
        kept, weights = np.exp(before - shift), np.exp(part - shift)
        y = (kept if rescale_sums else 1) * y + weights @ v[..., first : first + tile, :]
        total = (kept if rescale_total else 1) * total + weights.sum(axis=-1, keepdims=True)
    return y / np.where(total == 0, 1, total).astype(q.dtype)


# The mask


def causal_from_the_first_key(q, k, v, *, causal):
    """Row i sees keys j <= i whatever n and m: torch's is_causal (pytorch issues 103082, 108108, 115111)."""
    return _mean(_weights(_masked(_scores(q, k), causal, shift=0)), v)


def causal_from_the_first_key_if_queries_are_more(q, k, v, *, causal):
    """The mask is counted from the end, but from the start where queries are more (mlx pull request 2967)."""
    return _mean(_weights(_masked(_scores(q, k), causal, shift=max(0, k.shape[-2] - q.shape[-2]))), v)


def causal_without_its_own_key(q, k, v, *, causal):
    """Row i sees keys before its own place alone."""
    return _mean(_weights(_masked(_scores(q, k), causal, shift=k.shape[-2] - q.shape[-2] - 1)), v)


def causal_turned_round(q, k, v, *, causal):
    """Row i sees the keys from its own place on: the upper triangle."""
    n, m = q.shape[-2], k.shape[-2]
    scores = _scores(q, k)
    return _mean(_weights(np.where(_seen(m, n, n - m).T, scores, -np.inf).astype(q.dtype) if causal else scores), v)


def causal_dropped_in_whole_tiles(q, k, v, *, causal):
    """A path for extents that are multiples of a tile forgets the mask (triton-msl pull request 7)."""
    return _attention(q, k, v, causal and bool(q.shape[-2] % 16 or k.shape[-2] % 16))


def causal_by_tiles(q, k, v, *, causal):
    """The mask skips tiles of keys that are past all queries of a tile, and masks nothing within a tile."""
    n, m = q.shape[-2], k.shape[-2]
    if not causal:
        return _attention(q, k, v, causal)
    i = np.minimum(np.arange(n) // 16 * 16 + 15, n - 1)
    last = i + m - n
    seen = np.arange(m) <= np.where(last >= 0, last, -1)[:, None]
    return _mean(_weights(np.where(seen, _scores(q, k), -np.inf).astype(q.dtype)), v)


def one_tile_past_the_diagonal_masked(q, k, v, *, causal):
    """The mask cuts one tile of keys for a tile of queries; where n is not m, it takes two (flash-attention pull request 436)."""
    n, m = q.shape[-2], k.shape[-2]
    if not causal:
        return _attention(q, k, v, causal)
    first = (np.arange(n) // 16 * 16 + m - n) // 16 * 16  # of the tile that the mask cuts for a tile's first query
    seen = (np.arange(m) < first[:, None]) | (_seen(n, m) & (np.arange(m) < first[:, None] + 16))
    return _mean(_weights(np.where(seen, _scores(q, k), -np.inf).astype(q.dtype)), v)


def mask_after_softmax(q, k, v, *, causal):
    """Weights of unseen keys are set to 0 after they were divided by the sum of all."""
    weights = _weights(_scores(q, k))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return np.where(_seen(*weights.shape[-2:]), weights, 0).astype(q.dtype) @ v if causal else weights @ v


def mask_of_minus_ten_thousand(q, k, v, *, causal):
    """Unseen keys score -10,000, and a row that sees none the mean of all (TransformerLens issue 318: real scores are lower)."""
    scores = _scores(q, k)
    weights = _weights(_masked(scores, causal, -1e4))
    return _mean(weights, v)


def mask_of_minus_ten_thousand_added(q, k, v, *, causal):
    """The same, added to the scores; rows that see no key are 0, as they must be."""
    scores, seen = _scores(q, k), _seen(q.shape[-2], k.shape[-2])
    weights = _weights(scores - (0 if not causal else 1e4 * ~seen).astype(q.dtype) if causal else scores)
    return _mean(np.where(seen.any(axis=1, keepdims=True), weights, 0).astype(q.dtype) if causal else weights, v)


def blind_rows_are_nan(q, k, v, *, causal):
    """A row that sees no key divides nothing by nothing (pytorch issues 41508, 103963)."""
    with np.errstate(invalid="ignore"):
        scores = _masked(_scores(q, k), causal)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
        return (weights @ v) / weights.sum(axis=-1, keepdims=True)


def blind_rows_average_all(q, k, v, *, causal):
    """A row that sees no key takes the mean of all values."""
    scores = _masked(_scores(q, k), causal)
    blind = np.isinf(scores).all(axis=-1, keepdims=True)
    return _mean(_weights(np.where(blind, 0, scores).astype(q.dtype)), v)


# The scale


def scaled_by_d(q, k, v, *, causal):
    """Scores are divided by d."""
    return _mean(_weights(_masked(_scores(q, k, 1 / max(1, q.shape[-1])), causal)), v)


def not_scaled(q, k, v, *, causal):
    """Scores are products as they are."""
    return _mean(_weights(_masked(_scores(q, k, 1), causal)), v)


def scaled_by_the_padded_d(q, k, v, *, causal):
    """Queries and keys are padded to a multiple of 8 entries, and the scale is taken of the padded extent."""
    return _mean(_weights(_masked(_scores(q, k, 1 / np.sqrt(-(-max(1, q.shape[-1]) // 8) * 8)), causal)), v)


def scaled_by_the_width_of_values(q, k, v, *, causal):
    """The scale is taken of e, which mostly is d."""
    return _mean(_weights(_masked(_scores(q, k, 1 / np.sqrt(max(1, v.shape[-1]))), causal)), v)


def base_two_without_its_logarithm(q, k, v, *, causal):
    """Weights are powers of two of scores that nobody multiplied by log2(e)."""
    return _mean(_weights(_masked(_scores(q, k) * q.dtype.type(np.log(2)), causal)), v)


def only_the_first_64_entries(q, k, v, *, causal):
    """The extent of a key is fixed at 64, and further entries are not read (triton issue 621)."""
    scale = 1 / np.sqrt(max(1, q.shape[-1]))
    return _mean(_weights(_masked(_scores(q[..., :64], k[..., :64], scale), causal)), v)


# The running maximum


def sums_not_rescaled(q, k, v, *, causal):
    """Where the running maximum rises, the sum of the weights is rescaled, and the sums of values are not."""
    return _online(q, k, v, causal, rescale_sums=False)


def nothing_rescaled(q, k, v, *, causal):
    """Where the running maximum rises, all that was summed stays relative to the old one."""
    return _online(q, k, v, causal, rescale_sums=False, rescale_total=False)


def no_maximum(q, k, v, *, causal):
    """Exponentials of the scores as they are overflow, and all of a row may vanish."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _mean(np.exp(_masked(_scores(q, k), causal)), v)


def maximum_starts_at_zero(q, k, v, *, causal):
    """The running maximum starts at 0, below which all weights of a row may vanish."""
    return _online(q, k, v, causal, start=0.0)


def one_maximum_for_all_rows(q, k, v, *, causal):
    """Weights are relative to the largest score of all rows, next to which those of some row may vanish."""
    scores = _masked(_scores(q, k), causal)
    largest = scores.max(initial=-np.inf)
    return _mean(np.exp(scores - (largest if np.isfinite(largest) else 0)), v)


# Tails, batches and digits


def last_keys_lost(q, k, v, *, causal):
    """Only whole tiles of 64 keys are read, once there is one."""
    whole = k.shape[-2] // TILE * TILE or k.shape[-2]
    scores = _masked(_scores(q, k), causal)[..., :whole]
    return _mean(_weights(scores), v[..., :whole, :])


def padding_is_seen(q, k, v, *, causal):
    """Keys are padded with zeros to tiles of 16, and what is past the last scores 0 instead of -inf (zml pull request 563)."""
    scores = _masked(_scores(q, k), causal)
    spare = np.zeros((*scores.shape[:-1], -k.shape[-2] % 16), q.dtype)
    weights = _weights(np.concatenate([scores, spare], axis=-1))
    total = weights.sum(axis=-1, keepdims=True)
    return (weights[..., : k.shape[-2]] @ v) / np.where(total == 0, 1, total).astype(q.dtype)


def softmax_over_queries(q, k, v, *, causal):
    """Weights are divided by the sums over the queries where there are as many as keys."""
    if q.shape[-2] != k.shape[-2]:
        return _attention(q, k, v, causal)
    weights = _weights(_masked(_scores(q, k), causal))
    total = weights.sum(axis=-2, keepdims=True)
    return (weights / np.where(total == 0, 1, total).astype(q.dtype)) @ v


def values_of_the_first_batch(q, k, v, *, causal):
    """All of a batch read the values of its first."""
    right = _attention(q, k, v, causal)
    return np.broadcast_to(_attention(q, k, v[(0,) * (v.ndim - 2)], causal), right.shape).copy() if v.ndim > 2 else right


def batches_of_keys_go_round(q, k, v, *, causal):
    """The batch of keys is the number of the query's batch, modulo how many there are: of grouped heads, the wrong ones."""
    if k.ndim < 4 or k.shape[1] > 1:
        return _attention(q, k, v, causal)
    shape = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    count = np.arange(shape[0] * shape[1]).reshape(shape)
    return _attention(q, k[:, 0][count % k.shape[0]], v, causal)


def scores_in_half(q, k, v, *, causal):
    """Scores go through float16."""
    with np.errstate(over="ignore"):
        scores = np.clip(_scores(q, k), -65504, 65504).astype(np.float16).astype(q.dtype)
    return _mean(_weights(_masked(scores, causal)), v)


def weights_in_half(q, k, v, *, causal):
    """Weights go through float16 before they meet the values, whatever the dtype."""
    weights = _weights(_masked(_scores(q, k), causal))
    total = weights.sum(axis=-1, keepdims=True)
    return (weights.astype(np.float16).astype(q.dtype) @ v) / np.where(total == 0, 1, total).astype(q.dtype)


def epsilon_in_the_sum(q, k, v, *, causal):
    """A constant against division by zero is added to every sum of weights."""
    weights = _weights(_masked(_scores(q, k), causal))
    return (weights @ v) / (weights.sum(axis=-1, keepdims=True) + q.dtype.type(1e-6))


def small_weights_dropped(q, k, v, *, causal):
    """Weights below a thousandth are taken for 0, which long rows have nothing else of but their largest."""
    weights = _weights(_masked(_scores(q, k), causal))
    return _mean(np.where(weights < 1e-3, 0, weights).astype(q.dtype), v)


WRONG = (
    causal_from_the_first_key,
    causal_from_the_first_key_if_queries_are_more,
    causal_without_its_own_key,
    causal_turned_round,
    causal_dropped_in_whole_tiles,
    causal_by_tiles,
    one_tile_past_the_diagonal_masked,
    mask_after_softmax,
    mask_of_minus_ten_thousand,
    mask_of_minus_ten_thousand_added,
    blind_rows_are_nan,
    blind_rows_average_all,
    scaled_by_d,
    not_scaled,
    scaled_by_the_padded_d,
    scaled_by_the_width_of_values,
    base_two_without_its_logarithm,
    only_the_first_64_entries,
    sums_not_rescaled,
    nothing_rescaled,
    no_maximum,
    maximum_starts_at_zero,
    one_maximum_for_all_rows,
    last_keys_lost,
    padding_is_seen,
    softmax_over_queries,
    values_of_the_first_batch,
    batches_of_keys_go_round,
    scores_in_half,
    weights_in_half,
    epsilon_in_the_sum,
    small_weights_dropped,
)


# Correct, and not as one would write it


def whole_matrix(q, k, v, *, causal):
    """All scores at once, as it is written."""
    return _attention(q, k, v, causal)


def in_tiles_of_64(q, k, v, *, causal):
    """One pass over tiles of keys, with a running maximum."""
    return _online(q, k, v, causal)


def key_by_key(q, k, v, *, causal):
    """One pass over the keys, each a tile of its own: sums are rescaled wherever a score is the largest so far."""
    return _online(q, k, v, causal, tile=1)


def backwards(q, k, v, *, causal):
    """Keys are read from the last to the first."""
    scores = _masked(_scores(q, k), causal)[..., ::-1]
    return _mean(_weights(scores), v[..., ::-1, :])


def two_halves_joined(q, k, v, *, causal):
    """Each half of the keys by itself, then both by their sums of weights and largest scores, as split decoding does."""
    half = k.shape[-2] // 2
    scores = _masked(_scores(q, k), causal)
    parts = [(scores[..., :half], v[..., :half, :]), (scores[..., half:], v[..., half:, :])]
    largest = [part.max(axis=-1, keepdims=True, initial=-np.inf) for part, _ in parts]
    most = np.maximum(*largest)
    most = np.where(np.isinf(most), 0, most).astype(q.dtype)
    totals = [
        _weights(part).sum(axis=-1, keepdims=True) * np.exp(each - most) for (part, _), each in zip(parts, largest, strict=True)
    ]
    total = totals[0] + totals[1]
    shares = [each / np.where(total == 0, 1, total).astype(q.dtype) for each in totals]
    means = [_mean(_weights(part), values) for part, values in parts]
    return shares[0] * means[0] + shares[1] * means[1]


def powers_of_two(q, k, v, *, causal):
    """Weights are powers of two of scores times log2(e)."""
    scores = _masked(_scores(q, k, np.log2(np.e) / np.sqrt(max(1, q.shape[-1]))), causal)
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    return _mean(np.exp2(scores - np.where(np.isinf(largest), 0, largest).astype(q.dtype)), v)


def divided_first(q, k, v, *, causal):
    """Weights are divided by their sum before they meet the values."""
    weights = _weights(_masked(_scores(q, k), causal))
    total = weights.sum(axis=-1, keepdims=True)
    return (weights / np.where(total == 0, 1, total).astype(q.dtype)) @ v


def wider_inside(q, k, v, *, causal):
    """All in extended precision, rounded once."""
    return _attention(*(x.astype(np.longdouble) for x in (q, k, v)), causal).astype(q.dtype)


RIGHT = (
    whole_matrix,
    in_tiles_of_64,
    key_by_key,
    backwards,
    two_halves_joined,
    powers_of_two,
    divided_first,
    wider_inside,
)

CLAIMS = {"batches": True}

# The generic ones that are no bug here: v, the last array, has none of the terms, which are the entries of a query; calls whose
# four extents are all past 256 have 4e9 products; and q is nowhere as large as 4,200 times 4,200.
NO_BUG = ("counter_of_terms_wraps", "wrong_past_256_everywhere", "wrong_past_4200_on_both_sides")
