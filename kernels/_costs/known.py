"""What is known of an operation's costs: measurements of this machine, else those that came with the package, else estimates.

Of a variant that none was measured of on any device, `estimated.json` has what follows from counted instructions; `explain` says
so.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from kernels._costs import table
from kernels._costs.model import Costs

ESTIMATED = Path(__file__).with_name("estimated.json")
_known: WeakKeyDictionary[Any, tuple[table.Table, Costs]] = WeakKeyDictionary()


@functools.cache
def estimates() -> table.Table:
    """Return the estimates."""
    return table.read(ESTIMATED, "estimated")


def costs_of(contract: Any) -> Costs:
    """Return what is known of the costs of a contract's variants."""
    measured = table.current()
    found = _known.get(contract)
    if found is None or found[0] is not measured:
        tables = [*measured.layers(contract.operation), estimates().of(contract.operation)]
        found = _known[contract] = measured, Costs(contract, tables)
    return found[1]


def notes(contract: Any, origins: set[str]) -> tuple[str, ...]:
    """Say on what costs of these origins rest, and how to measure; one line each."""
    operation = contract.operation
    own = table.current().of(operation)
    said = [*own.notes]
    if "shipped" in origins:
        theirs = table.current().layers(operation)[-1]
        said.append(
            f"shipped: measured on {theirs.machine.get('processor', 'other machines')}, {theirs.dated}, not on this machine"
        )
    if "estimated" in origins:
        said.append(f"estimated: {estimates().machine['basis']}")
    if origins & {"measured", "interpolated"}:
        said.append(f"measured on this machine, in {own.path}; interpolated: from other calls, and what was shipped")
    where = "anew" if own.origin == "tuned" and own.entries else "on this machine"
    return (*said, f"kernel-zoo tune {operation} measures {where}")
