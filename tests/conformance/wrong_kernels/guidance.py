"""Negative controls for guidance alone: kernels with one small bug each, and correct ones written oddly."""

import numpy as np


def _length(x):
    """Return rows' largest magnitudes, and their lengths as multiples of those."""
    largest = np.abs(x).max(axis=-1, keepdims=True, initial=0)
    largest = np.where(largest > 0, largest, 1).astype(x.dtype)
    return largest, np.sqrt(((x / largest) ** 2).sum(axis=-1, keepdims=True))


def _rescaled(guided, conditional, rescale):
    """Return guided rows with some of the conditional rows' length."""
    if rescale == 0:
        return guided
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return rescale * (unit_c * of_c) * (guided / unit_g / np.where(of_g == 0, 1, of_g)) + (1 - rescale) * guided


@np.errstate(all="ignore")
def plain(unconditional, conditional, scale, rescale):
    """The definition in NumPy."""
    return _rescaled(unconditional + scale * (conditional - unconditional), conditional, rescale)


# The guided row


@np.errstate(all="ignore")
def from_the_conditional(unconditional, conditional, scale, rescale):
    """It sets out from the conditional row: a scale of 1 goes past it already, as in Ho and Salimans' own (6)."""
    return _rescaled(conditional + scale * (conditional - unconditional), conditional, rescale)


@np.errstate(all="ignore")
def exchanged(unconditional, conditional, scale, rescale):
    """The two predictions are exchanged, as where a batch of both is split in the other order."""
    return _rescaled(conditional + scale * (unconditional - conditional), conditional, rescale)


@np.errstate(all="ignore")
def as_two_products(unconditional, conditional, scale, rescale):
    """(1 - scale) u + scale c: where the predictions are nearly equal, digits cancel that are in none of them."""
    return _rescaled((1 - scale) * unconditional + scale * conditional, conditional, rescale)


@np.errstate(all="ignore")
def scale_clipped(unconditional, conditional, scale, rescale):
    """A scale below 1 counts as no guidance, as where a pipeline tests `guidance_scale > 1`."""
    return _rescaled(unconditional + max(scale, 1.0) * (conditional - unconditional), conditional, rescale)


@np.errstate(all="ignore")
def scale_in_half(unconditional, conditional, scale, rescale):
    """The scale goes through bfloat16, as a pipeline's own dtype."""
    kept = (np.array([scale], np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)[0]
    return _rescaled(unconditional + float(kept) * (conditional - unconditional), conditional, rescale)


# Lengths


@np.errstate(all="ignore")
def _by_factor(guided, rescale, factor):
    return (guided * (rescale * factor + (1 - rescale))).astype(guided.dtype) if rescale else guided


def _plain_norm(x, axis=-1):
    return np.sqrt((x**2).sum(axis=axis, keepdims=True))


@np.errstate(all="ignore")
def zero_over_zero(unconditional, conditional, scale, rescale):
    """Where nothing is left, its length divides: the result is NaN (diffusers#13425)."""
    guided = unconditional + scale * (conditional - unconditional)
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return _by_factor(guided, rescale, unit_c / unit_g * (of_c / of_g))


@np.errstate(all="ignore")
def epsilon_in_the_divisor(unconditional, conditional, scale, rescale):
    """A constant is added to the length that divides (diffusers#13426): small rows keep too little."""
    guided = unconditional + scale * (conditional - unconditional)
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return _by_factor(guided, rescale, unit_c * of_c / (unit_g * of_g + guided.dtype.type(1e-6)))


@np.errstate(all="ignore")
def length_clamped_to_epsilon(unconditional, conditional, scale, rescale):
    """The length that divides is at least the dtype's epsilon (diffusers#13704): rows below it are not rescaled."""
    guided = unconditional + scale * (conditional - unconditional)
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return _by_factor(guided, rescale, unit_c * of_c / np.maximum(unit_g * of_g, np.finfo(guided.dtype).eps))


@np.errstate(all="ignore")
def squares_leave_the_range(unconditional, conditional, scale, rescale):
    """Lengths are square roots of sums of squares as they come."""
    guided = unconditional + scale * (conditional - unconditional)
    size = _plain_norm(guided)
    return _by_factor(guided, rescale, _plain_norm(conditional) / np.where(size == 0, 1, size))


@np.errstate(all="ignore")
def quotient_leaves_the_range(unconditional, conditional, scale, rescale):
    """The quotient of the two lengths has no number where one row is far longer than the other."""
    guided = unconditional + scale * (conditional - unconditional)
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return _by_factor(guided, rescale, np.where(of_g == 0, 0, unit_c / unit_g * (of_c / np.where(of_g == 0, 1, of_g))))


@np.errstate(all="ignore")
def deviations_for_norms(unconditional, conditional, scale, rescale):
    """Standard deviations in place of norms, as Lin et al. have them."""
    guided = unconditional + scale * (conditional - unconditional)
    wanted, size = (rows.std(axis=-1, keepdims=True) if rows.size else 1 for rows in (conditional, guided))
    return _by_factor(guided, rescale, wanted / np.where(size == 0, 1, size))


@np.errstate(all="ignore")
def one_length_for_a_batch(unconditional, conditional, scale, rescale):
    """Norms are of the whole batch, not of its rows."""
    guided = unconditional + scale * (conditional - unconditional)
    if not guided.size or not rescale:
        return guided
    unit = max(np.abs(guided).max(), np.abs(conditional).max()) or 1
    whole = np.broadcast_to(conditional, guided.shape)
    size = _plain_norm(guided / unit, axis=None)
    return _by_factor(guided, rescale, _plain_norm(whole / unit, axis=None) / np.where(size == 0, 1, size))


@np.errstate(all="ignore")
def length_of_the_unconditional(unconditional, conditional, scale, rescale):
    """The length is that of the unconditional prediction."""
    return _rescaled(unconditional + scale * (conditional - unconditional), unconditional, rescale) + 0 * conditional


@np.errstate(all="ignore")
def never_longer(unconditional, conditional, scale, rescale):
    """Rows that guidance has made shorter are left as they are."""
    guided = unconditional + scale * (conditional - unconditional)
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return np.where(unit_c * of_c > unit_g * of_g, guided, _rescaled(guided, conditional, rescale))


@np.errstate(all="ignore")
def shares_exchanged(unconditional, conditional, scale, rescale):
    """`rescale` is taken for the share of the row that is left as it is."""
    return plain(unconditional, conditional, scale, 1 - rescale)


@np.errstate(all="ignore")
def always_in_full(unconditional, conditional, scale, rescale):
    """Any rescaling is a whole one."""
    return plain(unconditional, conditional, scale, float(rescale > 0))


@np.errstate(all="ignore")
def nan_spreads_without_rescaling(unconditional, conditional, scale, rescale):
    """Lengths are taken and multiplied by 0 where there is no rescaling."""
    guided = unconditional + scale * (conditional - unconditional)
    (unit_c, of_c), (unit_g, of_g) = _length(conditional), _length(guided)
    return rescale * (unit_c * of_c) * (guided / unit_g / np.where(of_g == 0, 1, of_g)) + (1 - rescale) * guided


@np.errstate(all="ignore")
def nan_is_left_where_it_is(unconditional, conditional, scale, rescale):
    """What is not finite counts as 0 in lengths."""
    guided = unconditional + scale * (conditional - unconditional)
    finite, known = (np.where(np.isfinite(rows), rows, 0).astype(rows.dtype) for rows in (guided, conditional))
    return np.where(np.isfinite(guided), _rescaled(finite, known, rescale), guided)


WRONG = (
    from_the_conditional,
    exchanged,
    as_two_products,
    scale_clipped,
    scale_in_half,
    zero_over_zero,
    epsilon_in_the_divisor,
    length_clamped_to_epsilon,
    squares_leave_the_range,
    quotient_leaves_the_range,
    deviations_for_norms,
    one_length_for_a_batch,
    length_of_the_unconditional,
    never_longer,
    shares_exchanged,
    always_in_full,
    nan_spreads_without_rescaling,
    nan_is_left_where_it_is,
)


# Correct, and not as one would write it


def wider_inside(unconditional, conditional, scale, rescale):
    """Everything in extended precision, rounded once."""
    wide = (rows.astype(np.longdouble) for rows in (unconditional, conditional))
    with np.errstate(all="ignore"):
        return plain(*wide, scale, rescale).astype(conditional.dtype)


@np.errstate(all="ignore")
def difference_first(unconditional, conditional, scale, rescale):
    """The difference is scaled, and the unconditional row added to it."""
    guided = (conditional - unconditional) * scale
    guided += unconditional
    return _rescaled(guided, conditional, rescale)


def row_by_row(unconditional, conditional, scale, rescale):
    """One row of the batch at a time, and from the other end."""
    u, c = np.broadcast_arrays(unconditional, conditional)
    y = np.empty(c.shape, c.dtype)
    for index in np.ndindex(c.shape[:-1]):
        y[index] = plain(u[index][::-1], c[index][::-1], scale, rescale)[::-1]
    return y


@np.errstate(all="ignore")
def halfway_to_the_full_rescaling(unconditional, conditional, scale, rescale):
    """The row that is rescaled in full, and the way to it."""
    guided = unconditional + scale * (conditional - unconditional)
    if rescale == 0:
        return guided
    return _rescaled(guided, conditional, 1.0) * rescale + guided * (1 - rescale)


RIGHT = (plain, wider_inside, difference_first, row_by_row, halfway_to_the_full_rescaling)

CLAIMS = {"batches": True}

# Of the generic ones: no extent is summed away, so that there are no terms.
NO_BUG = (
    "last_term_lost",
    "tail_of_terms_lost",
    "at_most_128_terms",
    "at_most_512_terms",
    "at_most_4200_terms",
    "counter_of_terms_wraps",
    "order_by_chance",
    "wrong_past_600_on_both_sides",
    "wrong_past_4200_on_both_sides",
)
