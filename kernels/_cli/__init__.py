"""The command `kernel-zoo`: one file for each command, and what they share."""

from __future__ import annotations

import os
import sys

import click

import registry
from kernels._cli.animate import animate
from kernels._cli.check import check
from kernels._cli.cluster import cluster
from kernels._cli.compare import compare
from kernels._cli.explain import explain
from kernels._cli.list import list_
from kernels._cli.new import new
from kernels._cli.report import report
from kernels._cli.segment import segment
from kernels._cli.show import show
from kernels._cli.text import spell_out
from kernels._cli.tune import tune


def main() -> None:
    """Run the command; whatever goes wrong is one clear line and an exit code: 1 refused, 2 misused, 130 interrupted."""
    spell_out(sys.stdout, sys.stderr)
    try:
        sys.exit(cli.main(prog_name="kernel-zoo", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("kernel-zoo: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left: `kernel-zoo list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # What refuses says what it refuses; anything else is known by its type.
        refusals = (
            registry.UnknownOperation,
            registry.UnknownVariant,
            ValueError,
            TypeError,
            RuntimeError,
            AssertionError,
            OSError,
        )
        kind = "" if isinstance(error, refusals) else f"{type(error).__name__}: "
        print(f"kernel-zoo: {kind}{error}", file=sys.stderr)
        sys.exit(1)


EXAMPLES = """\b
kernel-zoo list                            what there is
kernel-zoo compare matmul                  check and time every variant
kernel-zoo compare meanshift_step --input points.csv
kernel-zoo tune --quick                    measure this machine, so that get("matmul") takes what is fastest here
kernel-zoo show matmul einsum              all about one variant
kernel-zoo explain matmul                  which variant get("matmul") would take, and why
kernel-zoo check matmul mypackage:matmul   hold your own function to the contract
kernel-zoo new kernel matmul mine          write the file of a new kernel, ready to be changed
kernel-zoo animate --output walk.gif       watch points walk to their modes
kernel-zoo report --output zoo.html        what was measured here, as one page
kernel-zoo cluster points.csv --output labels.csv
kernel-zoo segment photo.jpg --output painted.png
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXAMPLES)
@click.version_option(registry.__version__, prog_name="kernel-zoo")
def cli() -> None:
    """Hold every implementation of an operation to one contract, and see which is fast here."""


for command in (list_, show, explain, compare, tune, report, check, new, animate, cluster, segment):
    cli.add_command(command)
