"""Check, then time: no figure exists for a result that did not pass.

The samples of all variants are interleaved within one command, and the median is quoted: on a shared machine ratios of medians
from one run mean something, single times do not. Nothing is believed because it was checked once: each timed run gets contents
of its own, and results of the timed runs themselves are held to the reference.
"""

from kernels._explanation import duration
from kernels._measure.environment import busy, environment, rate
from kernels._measure.timing import Measurement, Sampler, first_calls, interleave, place_of, qualify, repetitions
from kernels._measure.trial import SAMPLES, Runs, Trial

__all__ = [
    "SAMPLES",
    "Measurement",
    "Runs",
    "Sampler",
    "Trial",
    "busy",
    "duration",
    "environment",
    "first_calls",
    "interleave",
    "place_of",
    "qualify",
    "rate",
    "repetitions",
]
