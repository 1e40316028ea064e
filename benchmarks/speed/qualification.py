"""Find the setting at which a contender is measured: the loosest whose gradient is right."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from benchmarks.speed.cases import Problem
from benchmarks.speed.contender import Contender, Setting, Step, Work
from benchmarks.speed.reference import Arrays, gradient_error
from benchmarks.speed.timing import timed, wait

# A search that took this long goes no further (seconds).
PATIENCE = 120.0


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

    Times are in seconds, one for each round; so are the floors under them.
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


@dataclass(frozen=True)
class Refused:
    """A contender that is not measured, and why."""

    contender: Contender
    reason: str


def as_arrays(gradients: Any) -> Arrays:
    """Return gradients of any library as NumPy arrays; a missing one is nan."""
    found = {}
    for name, x in gradients.items():
        x = x.detach().cpu() if isinstance(x, torch.Tensor) else x
        found[name] = np.asarray(float("nan") if x is None else x)
    return found


def tried(step: Step, setting: Setting, wanted: Arrays, repeats: int = 1) -> Point:
    """Return the error of a step's gradient, and its times where it is repeated."""
    begun = time.perf_counter()
    try:
        _, gradients = step()
    except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
        return Point(setting, failure=f"{type(error).__name__}: {error}".partition("\n")[0])
    wait()
    first = time.perf_counter() - begun
    seconds = min((timed(step, 1) for _ in range(repeats)), default=np.inf)
    return Point(setting, gradient_error(as_arrays(gradients), wanted), seconds, first)


def search(
    contender: Contender, problem: Problem, wanted: Arrays, goal: float, beyond: int = 0
) -> tuple[Setting | None, list[Point]]:
    """Return the loosest setting within the goal, and the points tried, some beyond it."""
    found, points, begun = None, [], time.perf_counter()
    # what compiles does so at its first step; of others the errors are wanted, or a plot
    repeats = 3 if beyond else int(contender.form != "eager")
    for setting in contender.ladder:
        step = contender.trial(problem, setting)
        points.append(tried(step, setting, wanted, repeats))
        if found is None and points[-1].error <= goal:
            found, last = setting, len(points) + beyond
        if (found and len(points) >= last) or time.perf_counter() - begun > PATIENCE:
            break
    return found, points


def qualify(
    contender: Contender, problem: Problem, wanted: Arrays, goal: float, beyond: int = 0
) -> tuple[Entry | Refused, list[Point]]:
    """Return the contender ready to be timed, or the reason why it is not measured."""
    if missing := contender.missing():
        return Refused(contender, f"not installed: {', '.join(missing)}"), []
    try:
        setting, points = search(contender, problem, wanted, goal, beyond)
    except ValueError as error:  # a method that does not fit the model
        return Refused(contender, str(error).partition(", got ")[2] or str(error)), []
    if setting is None:
        best = min(points, key=lambda point: point.error)
        left = len(points) < len(contender.ladder)
        why = f"was not searched to the end in {PATIENCE:.0f} s" if left else "misses the goal"
        return Refused(contender, f"{why}: {said(best)} at best"), points
    step = contender.prepare(problem, setting)
    ready = tried(step, setting, wanted)
    if not ready.error <= goal:
        return Refused(contender, f"found its setting but fails: {said(ready)}"), points
    entry = Entry(contender, setting, step, ready.error, step.work(), step.peak_bytes())
    if contender.form != "eager":
        waits = [p.first - p.seconds for p in (*points, ready) if np.isfinite(p.seconds)]
        entry.compile_seconds = max(waits)
    # a trial has the errors of the contender, but not its times
    return entry, [ready] if contender.form == "compiled" else points


def said(point: Point) -> str:
    return f"{point.failure or f'error {point.error:.1e}'} at {point.setting}"
