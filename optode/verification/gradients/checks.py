"""Check a node's gradients by independent routes.

    from optode.verification.gradients.checks import check_gradients

    for check in check_gradients(node, h0):
        print(check)

x stands for the states at the start and all learned parameters together, z(x) for all states at the
observed times, J for dz/dx at the given x, c for a random cotangent. What is checked is J^T c, as
the node returns it; what it is held against comes from forward solves alone, by central differences
of order 4, or from another of the three gradients.

All is carried out in float64 on a deep copy of the node. The exact checks take equal steps, as many
as the node takes by itself: adaptive steps move with x, and a gradient holds them fixed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optode.runtime.settings import equal_steps
from optode.trial.numerics import observed_order
from optode.verification.gradients.case import GradientCase, Node, Tensors, Times, dot, moved, size


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """A measured number and the interval it has to lie in.

    ``where`` names the state or parameter with the largest mismatch, where they are compared.
    """

    name: str
    value: float
    low: float
    high: float
    where: str = ""

    @property
    def passes(self) -> bool:
        """Whether the value lies in the interval; nan lies in none."""
        return self.low <= self.value <= self.high

    @property
    def bound(self) -> str:
        """The interval in words."""
        if self.low == 0:
            return f"at most {self.high:.2g}"
        return f"{self.low:g} to {self.high:g}"

    @property
    def shown(self) -> str:
        """The value as text: a rate with two decimals, a mismatch by its order of magnitude."""
        return f"{self.value:.1e}" if self.low == 0 else f"{self.value:.2f}"

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        return f"{self.name}: {self.shown}{place}, {self.bound}{'' if self.passes else ' (!)'}"


def check_gradients(
    node: Node, states: Tensor | Tensors, t: Times = None, inputs: Any = None, seed: int = 0
) -> tuple[GradientCheck, ...]:
    """Run all checks: of the exact gradient, then of autograd and adjoint against it.

    ``states`` is the first state at the start or a tuple of all, ``t`` a vector of times (the end
    of the span), ``inputs`` what the node takes by that name. Raises ValueError where two solves
    differ or the method takes no equal steps, and what the node raises.
    """
    case = GradientCase(node, states, t, inputs, seed).at(gradient="discrete")
    exact = case.held()
    return (
        _dot_product(exact),
        *_taylor_rates(exact),
        _finite_differences(exact),
        _discrete_against_autograd(case),
        *_adjoint_against_discrete(case),
    )


def dot_product(
    node: Node, states: Tensor | Tensors, t: Times = None, inputs: Any = None, seed: int = 0
) -> GradientCheck:
    """Return the relative mismatch of <c, J v> and <J^T c, v>, for the gradient the node is set to."""
    return _dot_product(GradientCase(node, states, t, inputs, seed).held())


def taylor_rates(
    node: Node, states: Tensor | Tensors, t: Times = None, inputs: Any = None, seed: int = 0
) -> tuple[GradientCheck, GradientCheck]:
    """Return the rates at which |L(x + e d) - L(x)| and |L(x + e d) - L(x) - e <dL/dx, d>| vanish.

    They are 1 and 2 where the gradient is exact and the field has two derivatives; L is
    <c, z> + |z - z(x)|^2/2, and d a random direction in the states and all learned parameters.
    """
    return _taylor_rates(GradientCase(node, states, t, inputs, seed).held())


def finite_differences(
    node: Node, states: Tensor | Tensors, t: Times = None, inputs: Any = None, seed: int = 0
) -> GradientCheck:
    """Return the largest mismatch in a few random entries of every state and every learned parameter."""
    return _finite_differences(GradientCase(node, states, t, inputs, seed).held())


def discrete_against_autograd(
    node: Node, states: Tensor | Tensors, t: Times = None, inputs: Any = None, seed: int = 0
) -> GradientCheck:
    """Return the largest mismatch of the two exact gradients, on the node's own steps."""
    return _discrete_against_autograd(GradientCase(node, states, t, inputs, seed))


def adjoint_against_discrete(
    node: Node, states: Tensor | Tensors, t: Times = None, inputs: Any = None, seed: int = 0
) -> tuple[GradientCheck, GradientCheck]:
    """Compare the adjoint with the discrete gradient, as the node is set and at a quarter of the step.

    The adjoint gradient is as good as the steps are. How good they are, the discrete gradient
    tells: by its change in shorter steps. The bound is ten times that change, or the tolerance, so
    that it falls with the steps or the tolerance; an adjoint that tends to anything else fails the
    second check, which never allows more than a tenth.
    """
    return _adjoint_against_discrete(GradientCase(node, states, t, inputs, seed))


def _dot_product(case: GradientCase) -> GradientCheck:
    v = case.direction()
    expected = dot(case.gradient(), v)
    return _mismatch("dot product", _slope_error(case, v, expected, abs(expected)))


def _slope_error(case: GradientCase, v: Tensors, expected: float, scale: float) -> float:
    """Return the relative mismatch of <c, J v> against central differences.

    Where it is large, it is tried in shorter steps: kinks of the field may have lain between.
    """
    least = math.inf
    for step in _STEPS:
        slope = torch.dot(case.c, case.derivative(v, step)).item()
        least = min(least, _ratio(abs(slope - expected), max(scale, abs(slope))))
        if least <= _MISMATCH:
            break
    return least


def _taylor_rates(case: GradientCase) -> tuple[GradientCheck, GradientCheck]:
    gradient, z = case.gradient(), case.forward(case.x)
    # a part along the gradient, lest the slope be small by chance
    along = (size(x) * g / size(g) for x, g in zip(case.x, gradient, strict=True))
    d = moved(case.direction(), 1.0, tuple(part.nan_to_num() for part in along))
    slope = dot(gradient, d)
    floor = _NOISE * case.c.norm().item() * z.norm().item()
    lengths: list[float] = []
    remainders: list[tuple[float, float]] = []
    for e in _LENGTHS:
        difference = case.forward(moved(case.x, e, d)) - z
        change = (torch.dot(case.c, difference) + torch.dot(difference, difference) / 2).item()
        if abs(change - e * slope) <= floor:
            break
        lengths.append(e)
        remainders.append((abs(change), abs(change - e * slope)))
    first, second = (
        _rate(lengths[-_LEVELS:], [r[i] for r in remainders[-_LEVELS:]], i + 1) for i in (0, 1)
    )
    return first, second


def _rate(lengths: list[float], remainders: list[float], expected: int) -> GradientCheck:
    """Return the slope over the shortest lengths at which the remainder is above round-off."""
    known = len(lengths) == _LEVELS and min(remainders) > 0
    rate = observed_order(lengths, remainders) if known else math.nan
    return GradientCheck(f"Taylor rate {expected}", rate, expected - _WITHIN, expected + _WITHIN)


def _finite_differences(case: GradientCase) -> GradientCheck:
    gradient = case.gradient()
    errors = []
    for i, (g, scale) in enumerate(zip(gradient, _scales(gradient), strict=True)):
        found = []
        for _ in range(min(_ENTRIES, g.numel())):
            entry = int(torch.randint(g.numel(), (), generator=case.generator))
            v = tuple(torch.zeros_like(x) for x in case.x)
            v[i].view(-1)[entry] = unit = size(case.x[i])
            expected = g.reshape(-1)[entry].item() * unit
            found.append(_slope_error(case, v, expected, scale * unit))
        errors.append(_largest(found))
    return _mismatch("finite differences", *case.worst(errors))


def _discrete_against_autograd(case: GradientCase) -> GradientCheck:
    discrete, autograd = (case.at(gradient=g).gradient() for g in ("discrete", "autograd"))
    value, where = case.worst(_distances(discrete, autograd))
    return GradientCheck("autograd", value, 0, _ROUND_OFF, where)


def _adjoint_against_discrete(case: GradientCase) -> tuple[GradientCheck, GradientCheck]:
    cases = (case, case.held(_FINER), case.held(2 * _FINER))
    own, fine, finer = (each.at(gradient="discrete").gradient() for each in cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a large mismatch, which is what is measured
        back, back_fine = (each.at(gradient="adjoint").gradient() for each in cases[:2])
    coarse, short = (
        max(_ROUND_OFF, _MARGIN * _largest(_distances(a, b)))
        for a, b in ((own, fine), (fine, finer))
    )
    node = case.node
    held = 0.0 if equal_steps(node) else _MARGIN * node.rtol
    value, where = case.worst(_distances(back, own))
    first = GradientCheck("adjoint", value, 0, max(coarse, held), where)
    value, where = case.worst(_distances(back_fine, fine))
    return first, GradientCheck("adjoint, finer steps", value, 0, min(short, _CONVERGED), where)


def _mismatch(name: str, value: float, where: str = "") -> GradientCheck:
    return GradientCheck(name, value, 0, _MISMATCH, where)


def _scales(gradient: Tensors) -> list[float]:
    """Return the largest entry of each tensor, at least a thousandth of the largest of all.

    Below that, round-off in the large entries would pass for a mismatch in the small ones.
    """
    sizes = [g.abs().max().item() if g.numel() else 0.0 for g in gradient]
    return [max(size, 1e-3 * max(sizes)) for size in sizes]


def _distances(found: Tensors, expected: Tensors) -> list[float]:
    """Return the largest difference in each tensor, relative to its scale."""
    differences = (f - e for f, e in zip(found, expected, strict=True))
    errors = [d.abs().max().item() if d.numel() else 0.0 for d in differences]
    return list(map(_ratio, errors, _scales(expected)))


def _ratio(error: float, scale: float) -> float:
    return error / scale if scale else error


def _largest(values: Iterable[float]) -> float:
    """Return the maximum, or nan if any value is nan."""
    return torch.tensor([0.0, *values], dtype=torch.float64).max().item()


_MISMATCH = 1e-8
"""Between a gradient and central differences, which round-off leaves good to about 1e-10."""
_ROUND_OFF = 1e-10
"""Between gradients that are equal but for the order of their sums."""
_WITHIN = 0.1
_MARGIN = 10.0
_CONVERGED = 0.1
_FINER = 4
_ENTRIES = 2
_STEPS = (2.0**-12, 2.0**-16, 2.0**-20)
_LENGTHS = tuple(4.0**-k for k in range(3, 13))
_LEVELS = 4
_NOISE = 1e-12
