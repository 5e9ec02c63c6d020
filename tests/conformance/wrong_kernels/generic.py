"""Wrong kernels that are made from a right one, of any operation: each has one small bug of a kind that every operation knows."""

import functools
import itertools
import random
import threading
from types import FunctionType

import numpy as np

TILE = 16


class Call:
    """A call of a right kernel: its arguments, and where the operation's signature has its rows and its terms.

    Rows are the extent along which results are computed apart; terms are the extents that the result lacks, which are
    summed over. Rows of a batch are those of its first dimension.
    """

    def __init__(self, contract, right, args, kwargs):
        self.contract, self.right, self.args, self.kwargs = contract, right, args, dict(kwargs)
        signature = contract.signature
        known = {key: value for key, value in kwargs.items() if key in signature.public.parameters}
        bound = signature.public.bind(*args, **known).arguments
        self.given = {key: value for key, value in bound.items() if key in signature.arrays}
        self.first, self.last = next(iter(self.given)), list(self.given)[-1]

    def __call__(self, **changes):
        """Return the right result, with other arrays in place of some."""
        args = list(self.args)
        for i, key in enumerate(list(self.contract.signature.public.parameters)[: len(args)]):
            args[i] = changes.pop(key, args[i])
        return self.right(*args, **self.kwargs | changes)

    def mapped(self, change):
        """Return the right result for changed arrays; one that is two arguments stays one."""
        made = {id(array): change(array) for array in self.given.values()}
        return self(**{key: made[id(array)] for key, array in self.given.items()})

    @property
    def extents(self):
        """The extents by name; where the operation states no rows, those of a batch are one."""
        found = {}
        for key, array in self.given.items():
            names = self.contract.signature.arrays[key].extents
            found |= dict(zip(names, array.shape[array.ndim - len(names) :], strict=True))
            if not hasattr(self.contract.module, "ROWS"):
                found["*"] = array.shape[0] if array.ndim > len(names) else 1
        return found

    @property
    def rows(self):
        return self.extents[getattr(self.contract.module, "ROWS", "*")]

    def of_terms(self, index, only_last=False):
        """Return the right result with some of the terms, in every array or in the last one."""
        summed = self.terms_name
        changed = {}
        for key in [self.last] if only_last else self.given:
            names = self.contract.signature.arrays[key].extents
            if summed in names:
                changed[key] = np.take(self.given[key], index, axis=names.index(summed) - len(names))
        return self(**changed)

    @property
    def terms_name(self):
        signature = self.contract.signature
        return next(name for array in signature.arrays.values() for name in array.extents if name not in signature.result.extents)

    @property
    def terms(self):
        return self.extents[self.terms_name]


# Each takes a call and returns a result.

# Tails and lengths


def last_term_lost(call):
    """The loop over terms ends one too early."""
    return call.of_terms(np.arange(max(1, call.terms - 1))) if call.terms else call()


def tail_of_terms_lost(call):
    """Only whole tiles of terms are summed, once there is one."""
    return call.of_terms(np.arange(call.terms // TILE * TILE or call.terms))


def at_most_128_terms(call):
    """Only the terms that fit one tile of 128 are summed."""
    return call.of_terms(np.arange(min(128, call.terms)))


def at_most_512_terms(call):
    """One pass of a split sum: what the second split would add is forgotten."""
    return call.of_terms(np.arange(min(512, call.terms)))


def counter_of_terms_wraps(call):
    """The index of terms is a signed byte: from 128 on, one array is read from its other end."""
    return call.of_terms(np.arange(call.terms).astype(np.int8), only_last=True)


def order_by_chance(call):
    """Terms are added in another order each time, as atomics do: here every second time from the last to the first."""
    return call.of_terms(np.arange(call.terms)[:: next(_directions)])


_directions = itertools.cycle((1, -1))


def tail_of_rows_unwritten(call):
    """Rows beyond the last whole tile are never written."""
    right = call()
    if not right.ndim:
        return right
    y = np.empty(right.shape, right.dtype)
    whole = len(right) // TILE * TILE
    y[:whole] = right[:whole]
    return y


def _first_rows(call, count):
    """Leave the rows past so many zero."""
    y = call()
    if y.ndim:
        y[count:] = 0
    return y


def at_most_128_rows(call):
    """A block of 128 threads, one a row, and no loop for more."""
    return _first_rows(call, 128)


def stored_column_by_column(call):
    """The result is written column by column into memory that is then read row by row."""
    y = call()
    return y.ravel(order="F").reshape(y.shape)


# Ordinary sizes


def _spoilt(call, where):
    """Spoil the second half of the rows, as a path for calls of some size would."""
    y = call()
    if where and y.ndim:
        y[len(y) // 2 :] *= 2
    return y


def wrong_past_256_everywhere(call):
    """A path for large calls, taken past 256 in every extent at once, is wrong."""
    return _spoilt(call, min(call.extents.values()) > 256)


def wrong_past_600_on_both_sides(call):
    """A path for more than 600 rows and terms is wrong."""
    return _spoilt(call, min(call.rows, call.terms) > 600)


def wrong_past_4200_on_both_sides(call):
    """The product of the numbers of rows and terms overflows on the way."""
    return _spoilt(call, min(call.rows, call.terms) > 4200)


def at_most_4200_terms(call):
    """A list of terms has a fixed length of 4,200."""
    return call.of_terms(np.arange(min(4200, call.terms)))


def at_most_4200_rows(call):
    """A list of rows has a fixed length of 4,200."""
    return _first_rows(call, 4200)


def counter_of_rows_wraps(call):
    """The index of rows has 16 bits."""
    y = call()
    return y[np.arange(len(y)) & 0xFFFF] if y.ndim and len(y) > 2**16 else y


def wrong_at_a_length_of_11(call):
    """A path for one extent of 11, as a generated kernel may have, is wrong."""
    return _spoilt(call, 11 in call.extents.values())


def wrong_at_a_length_of_130(call):
    """The same for 130."""
    return _spoilt(call, 130 in call.extents.values())


# Digits


def single_for_double(call):
    """Doubles are computed with in single precision."""
    dtype = call.given[call.first].dtype
    return call.mapped(lambda array: array.astype(np.float32)).astype(dtype) if dtype == np.float64 else call()


def result_in_half(call):
    """The result goes through float16."""
    y = call()
    with np.errstate(over="ignore"):
        return y.astype(np.float16).astype(y.dtype)


def result_in_double(call):
    """The result comes back in float64 whatever the operands."""
    return call().astype(np.float64)


def rounded_to_decimals(call):
    """The result is rounded to twelve decimals, to look tidy."""
    with np.errstate(invalid="ignore"):
        return np.round(call(), 12)


# Strides and memory


def _as_it_lies(array):
    return np.ravel(array, order="K").reshape(array.shape)


def memory_order_of_the_first(call):
    """The first array is read as it lies in memory."""
    return call(**{call.first: _as_it_lies(call.given[call.first])})


def memory_order_of_the_last(call):
    """The last array is read as it lies in memory."""
    return call(**{call.last: _as_it_lies(call.given[call.last])})


def _f_as_c(array):
    return array.T.ravel().reshape(array.shape) if array.flags.f_contiguous else array


def f_order_of_the_first_taken_for_c(call):
    """The first array in Fortran order is read as if it were in C order."""
    return call(**{call.first: _f_as_c(call.given[call.first])})


def f_order_of_the_last_taken_for_c(call):
    """The last array in Fortran order is read as if it were in C order."""
    return call(**{call.last: _f_as_c(call.given[call.last])})


def negative_strides_forgotten(call):
    """The sign of the last array's strides is dropped: reversed columns are read forwards."""
    array = call.given[call.last]
    return call(**{call.last: array[..., ::-1] if array.ndim and array.strides[-1] < 0 else array})


def writes_into_an_argument(call):
    """The first array is doubled in place on the way."""
    y, array = call().copy(), call.given[call.first]
    if array.flags.writeable and array.size:
        array *= 2
    return y


def returns_its_operand(call):
    """Where the result is the first array, it is that array and no copy."""
    y, array = call(), call.given[call.first]
    return array if y.shape == array.shape and (y == array).all() else y


def result_cannot_be_written(call):
    """The result is marked read-only, as a cache would."""
    y = call().copy()
    y.flags.writeable = False
    return y


def stores_pairs_past_the_end(call):
    """Results are stored two numbers at a time; an odd count overruns by one."""
    right = call()
    y = np.empty(right.shape, right.dtype)
    y[...] = right
    if y.dtype == np.float32 and y.size % 2:  # whoever allocates gives eight bytes at least
        np.lib.stride_tricks.as_strided(y.reshape(-1), (y.size + 1,))[-1] = 0
    return y


_kept = threading.local()


def _remembered(key, compute):
    if getattr(_kept, "key", None) != key:
        _kept.key, _kept.value = key, compute()
    return _kept.value


def returns_one_buffer(call):
    """Results of one shape share their memory."""
    right = call()
    y = _remembered(("buffer", right.shape, right.dtype), right.copy)
    y[...] = right
    return y


def cached_by_shape(call):
    """A packed copy of the last array is kept for the next of its shape."""
    array = call.given[call.last]
    return call(**{call.last: _remembered(("shape", array.shape, array.dtype), array.copy)})


def cached_by_identity(call):
    """The result is kept for the same objects."""
    objects = tuple((id(array), array.shape) for array in call.given.values())
    others = [each for each in (*call.args, *call.kwargs.values()) if not isinstance(each, np.ndarray)]
    return _remembered(("id", objects, *map(str, others)), call).copy()


def cached_by_address(call):
    """A packed copy of the last array is kept for what lies at its address."""
    array = call.given[call.last]
    where = array.__array_interface__["data"][0], array.shape, array.strides, array.dtype
    return call(**{call.last: _remembered(("address", *where), array.copy)})


_workspace = {}


def _shared(name, array):
    """Copy an array into a workspace of all threads, which grows as it must."""
    if _workspace.setdefault(name, np.zeros(1, array.dtype)).nbytes < array.nbytes:
        _workspace[name] = np.zeros(2 * array.nbytes, np.uint8)
    shared = _workspace[name].view(np.uint8)[: array.nbytes].view(array.dtype).reshape(array.shape)
    shared[...] = array
    return shared


def races_through_an_operand(call):
    """The last array is packed into one workspace that all threads share."""
    packed = _shared("operand", call.given[call.last])
    return call(**{call.last: packed})


def races_through_the_result(call):
    """The result is gathered in one workspace that all threads share, and copied out at the end."""
    gathered = _shared("result", call())
    return gathered.copy()


# What a process shares


def seeds_the_generators(call):
    """Random generators are seeded, to be reproducible."""
    np.random.seed(0), random.seed(0)
    return call()


def cached_by_contents(call):
    """The result is kept for arrays of the same contents, whatever the parameters."""
    contents = tuple((array.shape, array.dtype, array.tobytes()) for array in call.given.values())
    return _remembered(("contents", contents), call).copy()


GENERIC = tuple(each for name, each in globals().items() if isinstance(each, FunctionType) and not name.startswith("_"))


_lock = threading.Lock()


def guarded_workspace(call):
    """One workspace for all threads, and a lock round it."""
    with _lock:
        return call(**{call.last: _shared("guarded", call.given[call.last])}).copy()


def _made(bugs, right, contract):
    for bug in bugs:

        @functools.wraps(right)
        def kernel(*args, bug=bug, **kwargs):
            return bug(Call(contract, right, args, kwargs))

        kernel.__name__, kernel.__qualname__, kernel.__doc__ = bug.__name__, bug.__name__, bug.__doc__
        yield kernel


def made_wrong(right, contract, *, but=()):
    """Return wrong kernels made from a right one of an operation, but for bugs that are none in it."""
    none = but if contract.signature.parameters else (*but, cached_by_contents.__name__)
    return tuple(_made([bug for bug in GENERIC if bug.__name__ not in none], right, contract))


def made_right(right, contract):
    """Return right kernels that are written as wrong ones often are."""
    return tuple(_made([guarded_workspace], right, contract))


# What is no bug in an operation such as logsumexp: terms have no order, and the result has not the shape of x.
NO_BUG_IN_SUMS = ("wrong_past_4200_on_both_sides", "returns_its_operand", "negative_strides_forgotten")
