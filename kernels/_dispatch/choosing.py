"""The callable that chooses: for each call it takes the variant that the decision names, and remembers that.

What is remembered belongs to a kind of call: the device, the dtype, the bucket of each extent, parameters, options, and what is
in effect here. The decision is made for one shape that stands for the bucket: so it does not hang on which call came first.
Then a call takes the fast path, which is the same for a choice as for a variant by its name, but for what it looks up.

Where the facts of a call's contents may decide, what is remembered looks at them, and then looks up the choice for their bucket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from kernels import _arrays
from kernels._costs import calls
from kernels._costs.known import costs_of, notes
from kernels._dispatch import forces, neutral
from kernels._dispatch.choice import Candidate, Question, able, beyond_limits, first_that_loads, none_can_run, ordered
from kernels._dispatch.fast_path import fast_path
from kernels._dispatch.operation import Operation, Request
from kernels._dispatch.served import Served, adapted, can_serve, lifted, plain_only, served
from kernels._variant import SELECTORS, Variant, VariantUnavailable

if TYPE_CHECKING:
    from kernels._costs.model import Costs

MOST = 4096  # kinds of call that are remembered
logger = logging.getLogger("kernel_zoo")


class Decision(NamedTuple):
    """What was decided for a kind of call.

    Attributes
    ----------
    considered : tuple of Candidate
        The one that runs comes first.
    described : Call
        The call that stands for the bucket.
    by_facts : dict or None
        Where the facts of a call decide: what runs for each of their buckets.
    lasting : bool
        Whether it holds for all calls of the kind.
    """

    considered: tuple[Candidate, ...]
    described: calls.Call
    by_facts: dict[tuple[int, ...], Candidate] | None = None
    lasting: bool = True


class Chooser:
    """Chooses a variant for each call.

    Parameters
    ----------
    op : Operation
    selector : str
        A device, or ``"auto"``; a variant's name only to ask about it.
    precision : str or None
        The weakest class of error that will do.
    """

    def __init__(self, op: Operation, selector: str, precision: str | None) -> None:
        self.op, self.selector, self.precision = op, selector, precision
        self.decisions: dict[Any, Decision] = {}  # for the kind of a call
        self.known: dict[Any, Any] = {}  # what serves a kind of call, by dictionaries in dictionaries
        self.count = 0  # of the kinds in it
        self.tensors: dict[type, list[Callable[..., Any]]] = {}  # fast paths, for the processor and for CUDA
        self.records = True  # whether a choice may be added to a file of choices
        self.named = selector not in SELECTORS  # then there is no choice, but an answer to whoever asks
        self.slow: Callable[..., Any] = neutral.in_neutral_state(self._slow)

    def callable(self) -> Callable[..., Any]:
        """Return the function that chooses."""
        return self._fast_path("numpy", "cpu", self._not_numpy)

    def _not_numpy(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call whose arrays are no ordinary ones of NumPy: tensors have a fast path for each device."""
        paths = self.tensors.get(type(args[0])) if args else None
        return paths[args[0].is_cuda](*args, **kwargs) if paths else self.slow(args, kwargs)

    def _fast_path(self, arrays: str, device: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
        names = {"known": self.known, "zoo": self.op.zoo, "in_block": forces.in_block.get, "logger": logger}
        names |= {"slow": self.slow, "otherwise": otherwise, "takes": self._takes}
        state = ["zoo.generation", "in_block()", "logger.level"]
        if arrays == "torch":
            state += [repr(device)]  # what is known of calls of NumPy arrays has a dtype here
        return fast_path(self.op, arrays, device, names, state)

    def _takes(self, dtype: Any) -> bool:
        return any(_arrays.dtype_name(dtype) in variant.dtypes for variant in self.op.zoo.candidates(self.op.name, "auto"))

    def _keep(self, kind: tuple[Any, ...], serves: Served) -> None:
        """Keep what serves a kind of call; what would be too much is forgotten, all at once."""
        self.count += 1
        if self.count > MOST:
            self.known.clear()
            self.count = 1
        *parts, last = kind
        known = self.known
        for part in parts:
            known = known.setdefault(part, {})
        known[last] = tuple(serves)  # a plain one: Python takes it apart faster

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any], kind: tuple[Any, ...] = ()) -> Any:
        """Serve any call; and keep what serves all ordinary calls of a kind, if this is one."""
        op = self.op
        selector, candidates = forces.narrowed(op.zoo, op.name, self.selector)
        request = op.request(args, kwargs, candidates)
        if request.caller.kind == "torch" and (tensor := type(request.first)) not in self.tensors:
            self.tensors[tensor] = [self._fast_path("torch", device, self.slow) for device in neutral.BACKENDS]
        decision = self.decision(request, selector, candidates)
        chosen = self._chosen(decision, request)
        if chosen.rejection is not None:
            raise none_can_run(op, request, selector, decision.considered)
        if logger.isEnabledFor(logging.DEBUG):
            self._trace(chosen, request)
        elif kind and decision.lasting and (serves := self._serves(decision, request)):
            self._keep(kind, serves)
        return op.run(chosen.variant, op.zoo.function(chosen.variant), request, chosen.options)

    def _trace(self, chosen: Candidate, request: Request) -> None:
        op = self.op
        given = {name: array for name in op.contract.ARRAYS if (array := request.arguments[name]) is not None}
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in given.items())
        why = chosen.cost or f"by its rank {chosen.variant.rank}"
        logger.debug("%s: %s serves %s, %s: %s", op.name, chosen.variant.name, shapes, _arrays.dtype_name(request.dtype), why)

    def considered(
        self, request: Request, selector: str, candidates: Sequence[Variant], *, looks: bool
    ) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
        """Return what is considered for a call, the one that runs first, and on what that rests; nothing is recorded."""
        self.records = False
        op, decision = self.op, self.decision(request, selector, candidates)
        considered = decision.considered
        if decision.by_facts is not None and looks:
            numbers = self._numbers(*op.contract.signature.as_call(request.arguments))
            considered = tuple(self._order(decision, numbers, request.caller.kind, request.options))
        origins = {each.cost.origin for each in considered if each.cost is not None}
        return considered, notes(op.contract, origins)

    def decision(self, request: Request, selector: str, candidates: Sequence[Variant]) -> Decision:
        """Return what is decided for the kind of a call."""
        op, arguments = self.op, request.arguments
        passed = op.contract.signature.as_call(arguments)
        described = calls.describe(op.contract, request.dtype, *passed, looks=False)
        costs = costs_of(op.contract)
        forbidden, frozen = ({}, None) if self.named else (costs.refused | forces.forbidden(op.name), op.zoo.choices)
        question = Question(selector, forbidden, self.precision, frozen is not None)
        first = arguments[op.contract.ARRAYS[0]]
        apart = tuple(None if arguments[name] is None else arguments[name] is first for name in op.keyed)
        buckets = tuple((name, calls.bucket(extent)) for name, extent in described.extents.items())
        key = (op.zoo.generation, request.caller.kind, request.caller.device, described.dtype, buckets, apart, selector,
               *map(_hashable, (question.forbidden, described.parameters, request.options)))  # fmt: skip
        decision = self.decisions.get(key)
        if decision is None:
            stands = described._replace(extents=_standing(described.extents, costs.measured))
            decision = self._decided(request, question, candidates, stands, costs)
            if frozen is not None:
                decision = self._frozen(decision, request, described, question)
            if decision.lasting and decision.considered[0].rejection is None:
                _remember(self.decisions, key, decision)
        return decision

    def _decided(
        self, request: Request, question: Question, candidates: Sequence[Variant], stands: calls.Call, costs: Costs
    ) -> Decision:
        """Decide for the kind of a call, and find out what the decision hangs on."""
        op, kind, options = self.op, request.caller.kind, request.options
        considered = able(op, request, question, candidates)
        order = ordered(considered, kind, options, stands, costs)
        if len(candidates) == 1:
            return Decision(tuple(order), stands)
        order = first_that_loads(op, order)
        by_facts: dict[tuple[int, ...], Candidate] | None = None
        # The contents of a dask array are not there to be looked at.
        bounds = {} if kind == "dask" else calls.bounds(op.contract, stands.extents, stands.parameters)
        if bounds and order[0].rejection is None:
            winners = {
                ordered(considered, kind, options, stands._replace(facts=facts), costs)[0].variant.name
                for facts in calls.corners(bounds)
            }
            by_facts = {} if len(winners) > 1 else None
        unsettled = [variant for variant in candidates if variant.limits and not self._settled(variant, request, stands)]
        freed = [each._replace(rejection=None) if each.variant in unsettled else each for each in considered]
        lasting = not unsettled or (
            order[0].variant not in unsettled
            and ordered(freed, kind, options, stands, costs)[0].variant is order[0].variant
            and by_facts is None
        )
        return Decision(tuple(order), stands, by_facts, lasting)

    def _settled(self, variant: Variant, request: Request, stands: calls.Call) -> bool:
        """Whether a variant's limits say the same of all calls of the kind."""
        op = self.op
        settled = {*op.contract.DISCRETE, *op.keyed}
        quantities = {key: limit for key, limit in variant.limits.items() if key not in settled}
        if any(key in request.arguments for key in quantities):
            return False
        if not quantities:
            return True
        ends = [[calls.ends(calls.bucket(extent))[end] for extent in stands.extents.values()] for end in (0, 1)]
        if ends[0] == ends[1]:
            return True
        limited = replace(variant, limits=quantities)
        said = set()
        for extents in ends:
            call = stands._replace(extents=dict(zip(stands.extents, extents, strict=True)))
            said.add(beyond_limits(op, limited, *calls.stand_ins(op.contract, call)) is None)
        return len(said) == 1

    def _chosen(self, decision: Decision, request: Request) -> Candidate:
        """Return what runs a call; where its facts decide, by a look at it."""
        if decision.by_facts is None:
            return decision.considered[0]
        numbers = self._numbers(*self.op.contract.signature.as_call(request.arguments))
        return self._by_facts(decision, numbers, request.caller.kind, request.options)

    def _numbers(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        """Look at a normalised call, and return the buckets of its facts."""
        return calls.fact_buckets(self.op.contract.costs.look(*args, **kwargs))

    def _by_facts(self, decision: Decision, numbers: tuple[int, ...], kind: str, options: Mapping[str, Any]) -> Candidate:
        known = {} if decision.by_facts is None else decision.by_facts
        chosen = known.get(numbers)
        if chosen is None:
            chosen = first_that_loads(self.op, self._order(decision, numbers, kind, options))[0]
            _remember(known, numbers, chosen)
        return chosen

    def _order(self, decision: Decision, numbers: tuple[int, ...], kind: str, options: Mapping[str, Any]) -> list[Candidate]:
        """Return what is considered for calls whose facts are in some buckets, the one that runs first."""
        stands = decision.described
        facts = calls.of_buckets(calls.bounds(self.op.contract, stands.extents, stands.parameters), numbers)
        return ordered(decision.considered, kind, options, stands._replace(facts=facts), costs_of(self.op.contract))

    def _serves(self, decision: Decision, request: Request) -> Served | None:
        """Return what serves all ordinary calls of a kind; None where their arrays must be copied elsewhere first."""
        op, (kind, _, device), (first, *_) = self.op, request.caller, decision.considered
        running = [first] if decision.by_facts is None else [each for each in decision.considered if each.rejection is None]
        rivals = [each.variant for each in running if can_serve(each.variant, kind, device, decision.described.dtype)]
        lifts = not (op.contract.signature.is_core(request.arguments) or all(v.batches for v in rivals))
        if first.variant not in rivals or (lifts and not (op.shapes_alone and decision.by_facts is None)):
            return None
        # What is kept of a call must not keep its arrays.
        ndims = [request.arguments[name].ndim for name in op.contract.signature.arrays] if lifts else []

        @cache
        def kernel_of(variant: Variant) -> Callable[..., Any] | None:
            loaded = op.zoo.function(variant)
            function = lifted(op, loaded, ndims) if lifts else loaded
            return None if function is None else adapted(variant, function, kind)

        def by_facts(*args: Any, **kwargs: Any) -> Any:
            chosen = self._by_facts(decision, self._numbers(args, kwargs), kind, {})
            kernel = kernel_of(chosen.variant) if chosen.variant in rivals else None  # the slow path copies the arrays elsewhere
            return kernel and kernel(*args, **kwargs, **_options(chosen))

        kernel, options = (kernel_of(first.variant), _options(first)) if decision.by_facts is None else (by_facts, {})
        if kernel is None:
            return None
        serves = served(op, first.variant, kernel, options, kind).get(request.first.dtype)
        return serves and serves._replace(plain=any(plain_only(each, kind) for each in rivals))

    def _frozen(self, decision: Decision, request: Request, described: calls.Call, question: Question) -> Decision:
        """Return the choice that the file in effect holds for a kind of call."""
        op, held = self.op, self.op.zoo.choices
        extents = [f"{name}={calls.ends(calls.bucket(extent))[0]}" for name, extent in sorted(described.extents.items())]
        stated = [f"{name}={value!r}" for name, value in (*described.parameters.items(), *sorted(request.options.items()))]
        stated += [f"precision={self.precision!r}"] if self.precision else []
        stated += [f"without {name}" for name in sorted(question.forbidden)]
        where = f"{question.selector} on {request.caller.device}, {described.dtype}"
        key = f"{op.name}: {where}, {', '.join(extents + stated)}"
        made = held.of(key)
        if made is None:
            first = self._chosen(decision, request)
            if first.rejection is not None or not self.records:
                return decision
            made = held.add(key, first.variant.name, dict(first.options))
        found = next((each for each in decision.considered if each.variant.name == made["variant"]), None)
        if found is None or found.rejection is not None:
            why = found.rejection.reason if found and found.rejection else "there is no such variant"
            raise VariantUnavailable(f"{held.path}: {op.name}: variant {made['variant']!r} cannot run here: {why}")
        cost = found.cost and found.cost._replace(options=made["options"])
        kept = found._replace(cost=cost, options=made["options"])
        return decision._replace(considered=(kept, *(each for each in decision.considered if each is not found)), by_facts=None)


def _standing(extents: Mapping[str, int], measured: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the extents that stand for a bucket: the first that was measured, or else the least."""
    made = {}
    for name, extent in extents.items():
        least, most = calls.ends(calls.bucket(extent))
        made[name] = next((value for value in measured.get(name, ()) if least <= value <= most), least)
    return made


def _options(chosen: Candidate) -> dict[str, Any]:
    """Return the options that a variant runs with where the call states none."""
    return {**chosen.variant.options, **chosen.options}


def _hashable(mapping: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((key, repr(value)) for key, value in mapping.items())


def _remember(them: dict[Any, Any], key: Any, value: Any) -> None:
    """Keep a value for a key; what would be too much is forgotten, all at once."""
    if len(them) >= MOST:
        them.clear()
    them[key] = value
