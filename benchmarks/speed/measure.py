"""Time all contenders of a problem in shared rounds, and compare them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.speed.cases import Problem
from benchmarks.speed.contender import Work
from benchmarks.speed.qualification import Entry
from benchmarks.speed.timing import CLOCKS, Calls, Clock, interleaved

KINDS_OF_WORK = ("plain", "recorded", "both")


def measure(
    problem: Problem, entries: Sequence[Entry], budget: float, clock: Clock = CLOCKS["wall"]
) -> None:
    """Fill in the times of all entries, and the floors under them from the same rounds."""
    forms = {entry.contender.form: entry.contender for entry in entries}
    bares = {form: contender.bare(problem) for form, contender in forms.items()}
    calls: Calls = {}
    for form, bare in bares.items():
        calls |= {f"{form} {kind}": getattr(bare, kind) for kind in KINDS_OF_WORK}
    for i, entry in enumerate(entries):
        calls |= {f"training {i}": entry.step, f"forward {i}": entry.step.forward}
    times = interleaved(calls, budget, clock=clock)
    least = least_work(entries)
    for i, entry in enumerate(entries):
        entry.training, entry.forward = times[f"training {i}"], times[f"forward {i}"]
        form, work = entry.contender.form, entry.work
        each = (times[f"{form} {kind}"] / bares[form].evaluations for kind in KINDS_OF_WORK)
        plain, recorded, both = each
        entry.forward_floor, entry.forward_least = work.forward * plain, least.forward * plain
        entry.training_floor = floor(work, plain, recorded, both)
        entry.training_least = floor(least, plain, recorded, both)


def floor(work: Work, plain: Any, recorded: Any, both: Any) -> Any:
    """Return the least time of the work: evaluations without a graph, with one, and VJPs."""
    return work.plain * plain + work.recorded * recorded + work.pullbacks * (both - recorded)


def least_work(entries: Sequence[Entry]) -> Work:
    """Return the fewest evaluations and the fewest VJPs of any contender, as one training step.

    Each evaluation is made once, with a graph.
    """
    forward = min((entry.work.forward for entry in entries), default=0)
    backward = min((entry.work.backward for entry in entries), default=0)
    return Work(0, forward, backward, forward, backward)


def ratio(slower: np.ndarray, faster: np.ndarray) -> float:
    """Return the ratio of times: the median over the rounds, each of which timed both."""
    return float(np.median(slower / faster))


def fastest(entries: Iterable[Entry], kind: str) -> dict[str, Entry]:
    """Return the entry with the smallest median of each library; kind is training or forward."""
    best: dict[str, Entry] = {}
    for entry in entries:
        peer = entry.contender.peer
        if peer not in best or _median(entry, kind) < _median(best[peer], kind):
            best[peer] = entry
    return best


def _median(entry: Entry, kind: str) -> float:
    return float(np.median(getattr(entry, kind)))
