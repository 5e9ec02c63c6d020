"""What is kept of a measurement, and how it is shown."""

import numpy as np
from rich.table import Table

from kernels import _measure


def record(work, trial, measurement, ours):
    """Return what is kept of a variant on a work."""
    return {
        "work": trial.example.title,
        "operation": work.operation,
        **work.extents,
        "parameters": dict(work.parameters),
        "dtype": work.dtype,
        "name": measurement.variant.name,
        "options": dict(measurement.options),
        "label": measurement.label,
        "ours": ours,
        "status": measurement.status,
        "reason": measurement.reason,
        "precision": measurement.variant.precision,
        "error_over_bound": measurement.agreement.share if measurement.agreement else None,
        "seconds": measurement.median if measurement.samples else None,
        "samples": len(measurement.samples),
        "rate": _measure.rate(measurement.rate, trial.unit) if measurement.samples else None,
    }


def table(records):
    """Return one work as a table: each time, and how many times slower than the best of ours."""
    best = min((r["seconds"] for r in records if r["ours"] and r["seconds"]), default=None)
    shown = Table(title=records[0]["work"] if records else "nothing took part", title_justify="left")
    for column in ("", "median", "rate", "x best of ours", "of bound"):
        shown.add_column(column, justify="left" if not column else "right")
    for r in sorted(records, key=lambda r: r["seconds"] or np.inf):
        if r["seconds"]:
            ratio = f"{r['seconds'] / best:.3g}" if best else ""
            shown.add_row(r["label"], _measure.duration(r["seconds"]), r["rate"], ratio, f"{r['error_over_bound']:.1%}")
        else:
            shown.add_row(r["label"], r["status"], r["reason"][:60], "", "")
    return shown
