"""The types of `registry` for whoever installs it: a module that is one file cannot carry py.typed (PEP 561)."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple, Protocol, TypedDict, TypeVar, Unpack, overload

__version__: str
DEVICES: tuple[str, ...]
DTYPES: tuple[str, ...]

_Class = str | None
_F = TypeVar("_F", bound=Callable[..., Any])
_A = TypeVar("_A", bound=_Array)

class _Array(Protocol):
    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...

class _Attention(Protocol):
    def __call__(self, q: _A, k: _A, v: _A, *, causal: bool = False, check_finite: bool = True) -> _A: ...

class _DifferenceMap(Protocol):
    def __call__(self, a: _A, b: _A) -> _A: ...

class _FrobeniusNorm(Protocol):
    def __call__(self, x: _A, *, selector: str = ...) -> _A: ...

class _Guidance(Protocol):
    def __call__(self, unconditional: _A, conditional: _A, scale: float, *, rescale: float = 0.0, selector: str = ...) -> _A: ...

class _Matmul(Protocol):
    def __call__(self, a: _A, b: _A, *, selector: str = ...) -> _A: ...

class _MeanshiftStep(Protocol):
    def __call__(
        self,
        x: _A,
        bandwidth: float,
        *,
        data: _A | None = None,
        weights: _A | None = None,
        kernel: Literal["gaussian", "triangular", "epanechnikov", "flat"] = "gaussian",
        check_finite: bool = True,
        batch_size: int = ...,
        method: Literal["auto", "ring", "tiles", "fast_gauss"] = ...,
        selector: str = ...,
    ) -> _A: ...

class _Outer(Protocol):
    def __call__(
        self,
        a: _A,
        b: _A,
        *,
        function: Literal["multiply", "add", "subtract", "less", "less_equal", "equal"] = "multiply",
        selector: str = ...,
    ) -> _A: ...

class _PairwiseDistance(Protocol):
    def __call__(
        self,
        x: _A,
        y: _A | None = None,
        *,
        metric: Literal["euclidean", "sqeuclidean", "cityblock", "chebyshev"] = "euclidean",
        selector: str = ...,
        batch_size: int = ...,
    ) -> _A: ...

class _Slerp(Protocol):
    def __call__(self, a: _A, b: _A, t: float, *, selector: str = ...) -> _A: ...

class _Softmax(Protocol):
    def __call__(self, x: _A, *, selector: str = ...) -> _A: ...

class _Standardize(Protocol):
    def __call__(self, x: _A) -> _A: ...

class _Claims(TypedDict, total=False):
    device: str
    arrays: str
    requires: tuple[str, ...]
    dtypes: tuple[str, ...]
    options: Mapping[str, Any]
    precision: str
    deterministic: bool
    rank: int
    limits: Mapping[str, Any]
    layout: str
    batches: bool

class UnknownOperation(LookupError): ...
class UnknownVariant(LookupError): ...
class VariantUnavailable(RuntimeError): ...
class DuplicateVariant(ValueError): ...
class ConformanceError(AssertionError): ...

class System:
    def missing(self, requirement: str) -> str | None: ...
    def forget(self) -> None: ...

@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    operation: str
    name: str
    device: str = "cpu"
    arrays: str = "numpy"
    requires: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ...
    options: Mapping[str, Any] = ...
    precision: str = "working"
    deterministic: bool = True
    rank: int = 0
    limits: Mapping[str, Any] = ...
    layout: str = "any"
    batches: bool = False
    module: str = ""
    file: str = ""
    line: int = 0
    doc: str = ""
    @property
    def reason(self) -> str | None: ...
    @property
    def available(self) -> bool: ...
    @property
    def source(self) -> str: ...
    @property
    def framework(self) -> str: ...
    @property
    def is_definition(self) -> bool: ...

class _Cost(NamedTuple):
    seconds: float
    origin: str
    dated: str = ...
    options: Mapping[str, Any] = ...
    at_most: bool = ...

@dataclass(frozen=True)
class Explanation:
    operation: str
    selector: str
    considered: tuple[tuple[Variant, str | None], ...]
    chosen: Variant | None
    costs: tuple[_Cost | None, ...] = ...
    notes: tuple[str, ...] = ...
    def rows(self) -> list[tuple[Variant, str, _Cost | None]]: ...
    def _repr_html_(self) -> str: ...

class _Variants(tuple[Variant, ...]):
    def _repr_html_(self) -> str: ...

class Zoo:
    system: System
    def __init__(self, folder: str | os.PathLike[str], system: System | None = None) -> None: ...
    def operations(self) -> tuple[str, ...]: ...
    def broken_operations(self) -> dict[str, str]: ...
    def variants(self, operation: str) -> _Variants: ...
    def variant(self, operation: str, name: str) -> Variant: ...
    def candidates(self, operation: str, selector: str) -> tuple[Variant, ...]: ...
    def contract(self, operation: str) -> ModuleType: ...
    def summary(self, operation: str) -> str: ...
    def register(self, operation: str, name: str, **declared: Any) -> Callable[[_F], _F]: ...
    @overload
    def get(self, operation: Literal["attention"], selector: str = "auto", *, precision: _Class = None) -> _Attention: ...
    @overload
    def get(
        self, operation: Literal["difference_map"], selector: str = "auto", *, precision: str | None = None
    ) -> _DifferenceMap: ...
    @overload
    def get(
        self, operation: Literal["frobenius_norm"], selector: str = "auto", *, precision: str | None = None
    ) -> _FrobeniusNorm: ...
    @overload
    def get(self, operation: Literal["guidance"], selector: str = "auto", *, precision: _Class = None) -> _Guidance: ...
    @overload
    def get(self, operation: Literal["matmul"], selector: str = "auto", *, precision: _Class = None) -> _Matmul: ...
    @overload
    def get(
        self, operation: Literal["meanshift_step"], selector: str = "auto", *, precision: str | None = None
    ) -> _MeanshiftStep: ...
    @overload
    def get(self, operation: Literal["outer"], selector: str = "auto", *, precision: _Class = None) -> _Outer: ...
    @overload
    def get(
        self, operation: Literal["pairwise_distance"], selector: str = "auto", *, precision: str | None = None
    ) -> _PairwiseDistance: ...
    @overload
    def get(self, operation: Literal["slerp"], selector: str = "auto", *, precision: _Class = None) -> _Slerp: ...
    @overload
    def get(self, operation: Literal["softmax"], selector: str = "auto", *, precision: _Class = None) -> _Softmax: ...
    @overload
    def get(self, operation: Literal["standardize"], selector: str = "auto", *, precision: _Class = None) -> _Standardize: ...
    @overload
    def get(self, operation: str, selector: str = "auto", *, precision: str | None = None) -> Callable[..., Any]: ...
    def check(
        self,
        operation: str,
        function: Callable[..., Any],
        *,
        max_examples: int = 100,
        bare: bool = False,
        **claims: Unpack[_Claims],
    ) -> None: ...
    def conformance_test(
        self,
        operation: str,
        function: Callable[..., Any],
        *,
        max_examples: int = 100,
        bare: bool = False,
        **claims: Unpack[_Claims],
    ) -> Callable[..., None]: ...
    def use(self, operation: str, selector: str) -> AbstractContextManager[None]: ...
    def avoid(self, operation: str, *names: str) -> AbstractContextManager[None]: ...
    def frozen(self, path: str | os.PathLike[str], *, record: bool = False) -> AbstractContextManager[None]: ...
    def refresh(self) -> None: ...
    def explain(
        self, operation: str, *args: Any, selector: str = "auto", precision: str | None = None, **kwargs: Any
    ) -> Explanation: ...
    def function(self, variant: Variant) -> Callable[..., Any]: ...
    def load(self, variant: Variant) -> Callable[..., Any]: ...
    def missing(self, requirement: str) -> str | None: ...
    def why_not(self, variant: Variant) -> str | None: ...

def zoo() -> Zoo: ...

_zoo: Zoo
avoid = _zoo.avoid
broken_operations = _zoo.broken_operations
candidates = _zoo.candidates
check = _zoo.check
conformance_test = _zoo.conformance_test
contract = _zoo.contract
explain = _zoo.explain
frozen = _zoo.frozen
get = _zoo.get
missing = _zoo.missing
operations = _zoo.operations
refresh = _zoo.refresh
register = _zoo.register
summary = _zoo.summary
use = _zoo.use
variant = _zoo.variant
variants = _zoo.variants
