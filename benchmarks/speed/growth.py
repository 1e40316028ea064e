"""Measure how the cost of a training step grows: with batch, width, parameters, time and tolerance.

One model, HBNODE, at one tolerance for all: what is compared is the growth, not the cost at equal
error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.records import rounded
from benchmarks.speed.cases import Case, Problem, problem
from benchmarks.speed.contender import Contender, Setting
from benchmarks.speed.tables import aligned
from benchmarks.speed.timing import Clock, interleaved
from benchmarks.speed.torch_contenders import Optode, Torchdiffeq

CONTENDERS: tuple[Contender, ...] = (
    Optode("discrete", "auto"),
    Optode("discrete", "dopri5"),
    Optode("adjoint", "auto"),
    Optode("adjoint", "dopri5"),
    Torchdiffeq("odeint_adjoint", "dopri5"),
    Torchdiffeq("odeint", "dopri5"),
)
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Axis:
    """A quantity that grows: its name, its values, and the problem and tolerance at a value."""

    name: str
    values: tuple[float, ...]
    at: Callable[[float], tuple[Problem, float]]


def _network(batch: float, features: float, width: float, end: float = 1.0) -> Problem:
    sizes = tuple(int(n) for n in (features, width, width, features))
    return problem("HBNODE", Case("growth", sizes, int(batch)), end)


def width_of(parameters: float, features: int) -> int:
    """Return the width at which an MLP features-width-width-features has so many parameters."""
    half = features + 1
    return round(float(np.sqrt(parameters + half**2)) - half)


AXES = (
    Axis("batch", tuple(4.0**k for k in range(8)), lambda n: (_network(n, 16, 64), TOLERANCE)),
    Axis("width", tuple(2.0**k for k in range(4, 11)), lambda n: (_network(64, n, n), TOLERANCE)),
    # one sample: as little arithmetic as so many parameters allow
    Axis(
        "parameters",
        tuple(10 ** (k / 2) for k in range(6, 15)),
        lambda n: (_network(1, 8, width_of(n, 8)), TOLERANCE),
    ),
    Axis(
        "end time", tuple(2.0**k for k in range(6)), lambda t: (_network(64, 16, 64, t), TOLERANCE)
    ),
    Axis("tolerance", tuple(10.0**-k for k in range(2, 7)), lambda x: (_network(64, 16, 64), x)),
)


@dataclass(frozen=True)
class Curve:
    """Medians (seconds) of a contender over the values of an axis, and evaluations and VJPs."""

    contender: str
    values: tuple[float, ...]
    seconds: tuple[float, ...]
    nfe: tuple[int, ...]

    @property
    def exponent(self) -> float:
        """The exponent of the power law, fitted over the upper half of the values."""
        half = len(self.values) // 2
        return fitted_exponent(self.values[half:], self.seconds[half:])


def fitted_exponent(values: Any, seconds: Any) -> float:
    """Return k for which seconds grow like the k-th power, by least squares in the logarithms."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def grow(
    axis: Axis, device: str, budget: float, clock: Clock, done: Callable[[str], None]
) -> list[Curve]:
    """Measure the curves of all contenders along an axis; budget is seconds for each value."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in CONTENDERS}
    nfe: dict[str, list[int]] = {contender.name: [] for contender in CONTENDERS}
    for value in axis.values:
        given, tolerance = axis.at(value)
        given = given.to(given.dtype, device)
        setting = Setting("tolerance", tolerance)
        steps = {c.name: c.prepare(given, setting) for c in CONTENDERS}
        for name, times in interleaved(dict(steps), budget, (3, 51), clock).items():
            seconds[name].append(float(np.median(times)))
            work = steps[name].work()
            nfe[name].append(work.forward + work.backward)
        done(f"growth: {axis.name} {value:g}")
    return [
        Curve(name, axis.values, tuple(rounded(seconds[name])), tuple(nfe[name]))
        for name in seconds
    ]


def growth_text(name: str, curves: Sequence[Curve]) -> str:
    """Return milliseconds over the values of an axis, and the fitted exponents, as a table."""
    lines = [(name, *(f"{value:g}" for value in curves[0].values), "exponent")]
    for curve in curves:
        cells = (f"{1e3 * x:.2f}" for x in curve.seconds)
        lines.append((curve.contender, *cells, f"{curve.exponent:.2f}"))
    return f"ms of a training step by {name}\n\n{aligned(lines)}"


def curves_of(result: Mapping[str, Any]) -> list[Curve]:
    """Return the curves of a result."""
    return [Curve(**curve) for curve in result["curves"]]


def result_text(result: Mapping[str, Any]) -> str:
    """Return the table of an axis."""
    return growth_text(result["axis"], curves_of(result))
