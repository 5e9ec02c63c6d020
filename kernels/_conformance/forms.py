"""How a function that is not registered is called: as a kernel is, as its author would, or bare, as a user would."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from kernels import _arrays
from kernels._variant import Variant


def parameters_of(function: Callable[..., Any]) -> tuple[Mapping[str, inspect.Parameter], bool]:
    """Return a function's parameters, and whether it takes keyword arguments of any name, as one in C may."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # such as a function in C
        return {}, True
    return parameters, any(each.kind is each.VAR_KEYWORD for each in parameters.values())


class Form:
    """A function that is not registered, called as dispatch calls a kernel, or as its author would.

    A kernel is given every argument. Its author leaves out what the function has defaults for; where `leaves_out` is set,
    so does this, wherever the default means the same call. A parameter that the function lacks is left out always, if its
    claims allow one value alone.
    """

    takes_read_only = True  # if not, it gets writable copies of arrays that cannot be written to

    def __init__(
        self, variant: Variant, function: Callable[..., Any], operation: Callable[..., Any], keywords: Iterable[str]
    ) -> None:
        self.variant, self.function, self.leaves_out = variant, function, False
        self._operation, self._known = operation, inspect.signature(operation).parameters
        parameters, takes_any = parameters_of(function)
        keywords = [*keywords, *variant.options]  # of a normalised call
        empty = inspect.Parameter.empty
        stated = {key: parameters[key].default for key in keywords if key in parameters}
        self.defaults = {key: default for key, default in stated.items() if default is not empty}
        lacking = [key for key in keywords if not takes_any and key not in parameters and key in self._known]
        self.lacking = {key: self._known[key].default for key in lacking}
        self.varies = bool(self.defaults)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function with the arguments of a normalised call that it needs."""
        if not self.takes_read_only:
            args, kwargs = _replaced(_writable, args, kwargs)
        return self.function(*args, **self.keywords_given(args, kwargs, self.leaves_out))

    def keywords_given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], leaves_out: bool) -> dict[str, Any]:
        """Return the keyword arguments that the function is given."""
        limits = self.variant.limits
        unknown = [key for key in self.lacking if isinstance(limits.get(key), tuple) and len(limits[key]) == 1]
        return {
            key: value
            for key, value in kwargs.items()
            if key not in unknown and not (leaves_out and self._is_default(key, args, kwargs))
        }

    def _is_default(self, key: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether the function's default for an argument means the value that a normalised call gives it."""
        if key not in self.defaults:
            return False
        value, default = kwargs[key], self.defaults[key]
        if key in self._known:
            known = {name: each for name, each in kwargs.items() if name in self._known}
            try:
                default = self._operation(*args, **{**known, key: default})[1].get(key)
            except (TypeError, ValueError):
                return False
        return default is value or (type(default) is type(value) and isinstance(value, str | int | float) and default == value)


class Bare:
    """A function that is called as it is, without dispatch, as a user of the operation calls it.

    In half of the calls that is by keyword, with every argument; in the others by position as far as the operation's
    signature goes, without what has its default. An argument for which its claims allow a single value is left out if
    the function has no such parameter; so is an array that it does not claim to take.
    """

    varies = True
    takes_read_only = True
    lacking: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, variant: Variant, function: Callable[..., Any], public: inspect.Signature) -> None:
        self.variant, self.function, self.leaves_out = variant, function, False
        self._public = public.parameters
        parameters, takes_any = parameters_of(function)
        single = {key: limit[0] for key, limit in variant.limits.items() if isinstance(limit, tuple) and len(limit) == 1}
        self.without = {key for key, only in single.items() if only is None or not (takes_any or key in parameters)}

    def __call__(self, **given: Any) -> Any:
        """Call the function with a user's arguments."""
        if self.variant.layout == "C":
            _, given = _replaced(_arrays.contiguous, (), given)
        args, kwargs = self.arguments(given, self.leaves_out)
        return self.function(*args, **kwargs)

    def arguments(self, given: Mapping[str, Any], leaves_out: bool) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments that the function is given by position, and those by keyword."""
        left = {key: value for key, value in given.items() if key not in self.without}
        if not leaves_out:
            return [], left
        first = next(iter(given.values()), None)
        args = []
        for key, parameter in self._public.items():
            if parameter.kind is parameter.KEYWORD_ONLY or key not in left:
                break
            args.append(left.pop(key))
        defaults = {key: parameter.default for key, parameter in self._public.items()}
        return args, {key: value for key, value in left.items() if not self._is_default(value, defaults[key], first)}

    @staticmethod
    def _is_default(value: Any, default: Any, first: Any) -> bool:
        return value is default or (value is first if default is None else isinstance(value, str | float) and value == default)


def _replaced(
    change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call with its NumPy arrays changed; an array that is two arguments stays one."""
    made = {id(each): change(each) for each in (*args, *kwargs.values()) if isinstance(each, np.ndarray)}
    return tuple(made.get(id(each), each) for each in args), {key: made.get(id(each), each) for key, each in kwargs.items()}


def _writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array if array.flags.writeable else array.copy(order="K")
