"""Find the fewest evaluations of f with which a method reaches each error of h."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.methods.models import Model, NoReference, TooLong, model
from benchmarks.records import rounded
from optode.runtime.methods.catalogue import METHODS

ERRORS = tuple(10.0**-k for k in range(2, 9))
KINDS = {"equal": "in equal steps", "fitted": "in fitted steps"}
AUTO = "auto"
"""The method that optode chooses: shown beside the others, not counted among them."""

STEPS = (1, *(base * 2**k for k in range(12) for base in (2, 3)))
TOLERANCES = tuple(10 ** (-k / 4) for k in range(4, 49))
# A method may take twice the evaluations of the reference (dopri8 at 1e-12), within these bounds.
ALLOWED = (300, 800)
# The time for a method on a model, after which no tighter setting is tried (seconds).
PATIENCE = 2.0
# Numbers of equal steps are told apart to within this share.
SHARE = 0.04
REPEATS = 3


@dataclass(frozen=True)
class Point:
    """A solve: its setting (a number of steps, or a tolerance), evaluations, seconds and error.

    A solve that fails has an infinite error.
    """

    setting: float
    nfe: float
    seconds: float
    error: float
    method: str = ""


def allowed(problem: Model) -> int:
    """Return how many evaluations a method may take."""
    least, most = ALLOWED
    return min(most, max(least, 2 * problem.nfe))


def solved(problem: Model, method: str, kind: str, setting: float) -> Point:
    """Solve once at a setting; fitted steps end where the evaluations allowed do."""
    most = allowed(problem)
    settings: dict[str, Any] = {"options": {"steps": int(setting)}}
    if kind == "fitted":
        stages = METHODS[method].evaluations(False, True) if method in METHODS else 1
        limit = {"max_steps": max(1, most // stages)}
        settings = {"rtol": setting, "atol": setting, "options": limit}
    begun = time.perf_counter()
    try:
        h, nfe, taken = problem.solve(method=method, **settings)
    except (ArithmeticError, RuntimeError, ValueError) as error:
        ends = isinstance(error, TooLong) or "max_steps" in str(error)
        return Point(setting, most + 1 if ends else 0, time.perf_counter() - begun, np.inf)
    return Point(setting, nfe, time.perf_counter() - begun, problem.distance(h), taken)


def climb(problem: Model, method: str, kind: str, wanted: Sequence[float]) -> list[Point]:
    """Solve at tighter and tighter settings, until the smallest wanted error is reached.

    The number of equal steps is then halved down to the one at which each error is reached.
    """
    most = allowed(problem)
    begun = time.perf_counter()
    points: list[Point] = []
    for setting in STEPS if kind == "equal" else TOLERANCES:
        points.append(solved(problem, method, kind, setting))
        last, spent = points[-1], time.perf_counter() - begun
        if last.error <= min(wanted) or last.nfe > most or spent > PATIENCE:
            break
    if kind == "equal":
        for error in wanted:
            points += between(problem, method, points, error)
    return [point for point in points if point.nfe <= most]


def between(problem: Model, method: str, points: Sequence[Point], error: float) -> list[Point]:
    """Halve between the numbers of steps that miss an error and the first that reaches it."""
    reached = [p.setting for p in points if p.error <= error]
    if not reached:
        return []
    high = min(reached)
    low = max((p.setting for p in points if p.setting < high), default=0)
    found: list[Point] = []
    while high - low > max(1, SHARE * high):
        middle = (low + high) // 2
        found.append(solved(problem, method, "equal", middle))
        low, high = (low, middle) if found[-1].error <= error else (middle, high)
    return found


def fewest(points: Sequence[Point], error: float) -> Point | None:
    """Return the point with the fewest evaluations that reaches an error, None where none does."""
    reached = [point for point in points if point.error <= error]
    return min(reached, key=lambda point: point.nfe, default=None)


def contenders() -> list[tuple[str, str]]:
    """Return all methods, each in equal steps, and in fitted ones if it can."""
    pairs = [(name, "equal") for name in METHODS]
    pairs += [(name, "fitted") for name, method in METHODS.items() if method.estimates]
    return [*pairs, (AUTO, "equal"), (AUTO, "fitted")]


def row(problem: Model, method: str, kind: str, wanted: Sequence[float]) -> dict[str, Any]:
    """Return what each error costs a method: evaluations, milliseconds, and the setting."""
    points, found = climb(problem, method, kind, wanted), {}
    for error in wanted:
        best = fewest(points, error)
        if best is None:
            continue
        again = [solved(problem, method, kind, best.setting) for _ in range(REPEATS)]
        found[f"{error:.0e}"] = {
            "nfe": best.nfe,
            "ms": float(f"{1e3 * min(point.seconds for point in again):.4g}"),
            "setting": best.setting,
        } | ({"method": best.method} if method == AUTO else {})
    return {"method": method, "kind": kind, "reached": found}


def record(name: str, methods: Sequence[str] = (), wanted: Sequence[float] = ERRORS) -> Any:
    """Return all methods' numbers of a model, or of the methods that are named."""
    try:
        problem = model(name)
    except NoReference as error:
        return {"model": name, "left_out": str(error), "rows": []}
    able = [error for error in wanted if error >= problem.error]
    rows = [
        row(problem, method, kind, able)
        for method, kind in contenders()
        if not methods or method in methods
    ]
    return rounded(
        {
            "model": name,
            "smallest_error": problem.error,
            "reference_nfe": problem.nfe,
            "rows": rows,
        }
    )
