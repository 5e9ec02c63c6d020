"""Check, then time: no figure exists for a result that did not pass.

Variants are timed in turns within one command, and the median is quoted: on a shared machine ratios of medians from one run mean
something, single times do not. Nothing is believed because it was checked once: each timed run gets contents of its own, and
results of the timed runs themselves are held to the reference.
"""

from kernels._measure.environment import busy, duration, environment, rate
from kernels._measure.timing import Measurement, Turns, admit, first_calls, place_of, repetitions, time_in_turns
from kernels._measure.trial import ROUNDS, Runs, Trial

__all__ = [
    "ROUNDS",
    "Measurement",
    "Runs",
    "Trial",
    "Turns",
    "admit",
    "busy",
    "duration",
    "environment",
    "first_calls",
    "place_of",
    "rate",
    "repetitions",
    "time_in_turns",
]
