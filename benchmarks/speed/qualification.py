"""Find the setting at which a contender is measured: the loosest that reaches the goal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from benchmarks.speed.cases import Problem
from benchmarks.speed.contender import Contender, Setting, Step, Work
from benchmarks.speed.reference import Arrays, gradient_error, reference
from benchmarks.speed.timing import timed, wait

# A search that took this long goes no further (seconds).
PATIENCE = 120.0
# So many contenders of a group are timed, if they take at most so many times the fewest evaluations.
SHORTLIST, FACTOR = 3, 2.0

FAILURES = (ArithmeticError, AssertionError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Goal:
    """The largest error that is allowed, and the function that tells it from a training step."""

    limit: float
    error: Callable[[Step], float]


def gradient_goal(problem: Problem, limit: float) -> Goal:
    """Return the goal for the gradient: its worst tensor's error against the reference."""
    wanted = reference(problem)
    return Goal(limit, lambda step: gradient_error(as_arrays(step()[1]), wanted))


@dataclass(frozen=True)
class Point:
    """The error that a contender reached at a setting, and the time of a training step (seconds).

    first: the time of the first call, with what was compiled for it. Where the step failed, failure
    says how, and the numbers are infinite.
    """

    setting: Setting
    error: float = np.inf
    seconds: float = np.inf
    first: float = np.inf
    failure: str = ""


@dataclass(eq=False)
class Entry:
    """A contender at the loosest setting that reaches the goal.

    Times are in seconds, one for each round; so are the floors under them: of the evaluations of
    this contender, and of the fewest that any contender of the problem takes.
    """

    contender: Contender
    setting: Setting
    step: Step
    error: float
    work: Work
    peak_bytes: int | None = None
    compile_seconds: float | None = None
    training: np.ndarray = field(default_factory=lambda: np.zeros(0))
    forward: np.ndarray = field(default_factory=lambda: np.zeros(0))
    training_floor: np.ndarray = field(default_factory=lambda: np.zeros(0))
    forward_floor: np.ndarray = field(default_factory=lambda: np.zeros(0))
    training_least: np.ndarray = field(default_factory=lambda: np.zeros(0))
    forward_least: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Refused:
    """A contender that is not measured, and why."""

    contender: Contender
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A contender with its setting, and all points that were tried.

    evaluations: of a training step, forward and VJPs; known where the contender is of a group.
    """

    contender: Contender
    setting: Setting
    points: Sequence[Point]
    evaluations: int = 0


def as_arrays(gradients: Any) -> Arrays:
    """Return gradients of any library as NumPy arrays; a missing one is nan."""
    found = {}
    for name, x in gradients.items():
        x = x.detach().cpu() if isinstance(x, torch.Tensor) else x
        found[name] = np.asarray(float("nan") if x is None else x)
    return found


def tried(step: Step, setting: Setting, goal: Goal, repeats: int = 1) -> Point:
    """Return the error of a step, and its times where it is repeated."""
    begun = time.perf_counter()
    try:
        error = goal.error(step)
    except FAILURES as failure:
        return Point(setting, failure=f"{type(failure).__name__}: {failure}".partition("\n")[0])
    wait()
    first = time.perf_counter() - begun
    seconds = min((timed(step, 1) for _ in range(repeats)), default=np.inf)
    return Point(setting, error, seconds, first)


def search(
    contender: Contender, problem: Problem, goal: Goal, beyond: int = 0
) -> tuple[Setting | None, list[Point]]:
    """Return the loosest setting within the goal, and the points tried, some beyond it."""
    found, points, begun = None, [], time.perf_counter()
    # what compiles does so at its first step; of others the errors are wanted, or a plot
    repeats = 3 if beyond else int(contender.form != "eager")
    for setting in contender.ladder:
        step = contender.trial(problem, setting)
        points.append(tried(step, setting, goal, repeats))
        if found is None and points[-1].error <= goal.limit:
            found, last = setting, len(points) + beyond
        if (found and len(points) >= last) or time.perf_counter() - begun > PATIENCE:
            break
    return found, points


Known = dict[str, tuple[Setting | None, list[Point]]]
"""What the searches of families have found."""


def candidate(
    contender: Contender, problem: Problem, goal: Goal, known: Known, beyond: int = 0
) -> Candidate | Refused:
    """Return the contender at its setting, or the reason why it is not measured."""
    if missing := contender.missing():
        return Refused(contender, f"not installed: {', '.join(missing)}")
    try:
        outcome = known.get(contender.family) or search(contender, problem, goal, beyond)
    except ValueError as error:  # a method that does not fit the model
        return Refused(contender, str(error).partition(", got ")[2] or str(error))
    if contender.family:
        known[contender.family] = outcome
    setting, points = outcome
    if setting is None:
        best = min(points, key=lambda point: point.error)
        left = len(points) < len(contender.ladder)
        why = f"was not searched to the end in {PATIENCE:.0f} s" if left else "misses the goal"
        return Refused(contender, f"{why}: {said(best)} at best")
    evaluations = 0
    if contender.group:
        work = contender.trial(problem, setting).work()
        evaluations = work.forward + work.backward
    return Candidate(contender, setting, points, evaluations)


def shortlisted(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Refused]]:
    """Return those that are timed: of each group the few with the fewest evaluations."""
    kept: list[Candidate] = []
    refused: list[Refused] = []
    for each in candidates:
        rivals = [c for c in candidates if c.contender.group == each.contender.group]
        counts = sorted(rival.evaluations for rival in rivals)
        limit = min(FACTOR * counts[0], counts[min(SHORTLIST, len(counts)) - 1])
        if not each.contender.group or each.evaluations <= limit:
            kept.append(each)
        else:
            words = f"takes {each.evaluations} evaluations where others take {counts[0]}"
            refused.append(Refused(each.contender, words))
    return kept, refused


def prepared(found: Candidate, problem: Problem, goal: Goal) -> Entry | Refused:
    """Return a contender ready to be timed; one that fails once it is prepared is refused."""
    contender, setting = found.contender, found.setting
    step = contender.prepare(problem, setting)
    ready = tried(step, setting, goal)
    if not ready.error <= goal.limit:
        return Refused(contender, f"found its setting but fails: {said(ready)}")
    entry = Entry(contender, setting, step, ready.error, step.work(), step.peak_bytes())
    if contender.form != "eager":
        waits = [p.first - p.seconds for p in (*found.points, ready) if np.isfinite(p.seconds)]
        entry.compile_seconds = max(waits)
    return entry


def said(point: Point) -> str:
    return f"{point.failure or f'error {point.error:.1e}'} at {point.setting}"
