"""Workers of dask for a command: processes of its own, or those of a scheduler that runs elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

import registry
from kernels._cli.text import require

TIMEOUT = 10  # seconds to wait for a scheduler, and for its first worker
NEEDED = "import kernels._inputs.blocks, kernels._walks_dask"  # what the names of tasks stand for


@contextmanager
def workers(scheduler: str | None) -> Iterator[Any]:
    """Give a client of the scheduler at an address, or of one with a process for each core, which ends with the client.

    Raises
    ------
    click.UsageError
        If a package is missing, or no scheduler with workers answers.
    RuntimeError
        If a task was lost with its workers again and again.
    """
    require("--dask", "dask", "distributed")
    from dask.utils import key_split
    from distributed import Client, LocalCluster
    from distributed.scheduler import KilledWorker

    with ExitStack() as stack:
        if scheduler is None:
            quiet: dict[str, Any] = {"silence_logs": logging.CRITICAL, "dashboard_address": "127.0.0.1:0"}
            one_thread = {"NUMBA_NUM_THREADS": "1"}
            client = Client(stack.enter_context(LocalCluster(threads_per_worker=1, env=one_thread, **quiet)))
        else:
            client = _connected(scheduler)
        stack.enter_context(client)
        dashboard = (
            "no dashboard: it " + reason if (reason := registry.missing("bokeh")) else f"dashboard: {client.dashboard_link}"
        )
        click.echo(dashboard, err=True)
        try:
            yield client
        except KilledWorker as error:
            number = f" {error.task[1]}" if isinstance(error.task, tuple) else ""
            raise RuntimeError(
                f"{error.allowed_failures + 1} workers were lost at one task, {key_split(error.task)}{number}: most likely it "
                "takes more memory than a worker has; give workers more of it, start fewer of them, or choose a smaller bandwidth"
            ) from error


def _connected(scheduler: str) -> Any:
    """Return a client of a scheduler that has workers, all with this package."""
    from distributed import Client
    from distributed.comm import get_address_host

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        get_address_host(scheduler)  # a client of an address of no known kind would wait for ever
        client = Client(scheduler, timeout=TIMEOUT)
    except (OSError, ValueError, TypeError) as error:
        raise click.UsageError(
            f"--scheduler {scheduler}: no scheduler of dask answered within {TIMEOUT} s; expected an address such as tcp://host:8786"
        ) from error
    try:
        client.wait_for_workers(1, timeout=TIMEOUT)
    except TimeoutError as error:
        client.close()
        raise click.UsageError(f"--scheduler {scheduler}: it has no workers; start some with: dask worker {scheduler}") from error
    for who, run in (("scheduler", client.run_on_scheduler), ("workers", client.run)):
        try:
            run(exec, NEEDED)
        except ImportError as error:
            client.close()
            raise click.UsageError(
                f"--scheduler {scheduler}: its {who} cannot import what tasks are made of ({str(error).splitlines()[0]}); "
                "install kernel-zoo[cluster,dask] where they run, and start them again"
            ) from error
    return client
