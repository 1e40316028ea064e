"""The structure of a neural ODE that an integrator can use, found in its equations.

**Damped, of second order**: ``h' = m, m' = -c(t) m + F(t, h)``. With ``P = exp(int c)``, a new time
``ds = dt/P`` and ``p = P m`` the damping is gone, ``dh/ds = p, dp/ds = P^2 F``: the special
second-order form of the Runge-Kutta-Nyström methods (Hairer, Nørsett and Wanner, Solving Ordinary
Differential Equations I, II.14). Where ``1/c`` is affine in t, all of it has a closed form.

**Separable**: the position's derivative is free of f, and with the others held every state moves in
a straight line or relaxes, ``w' = -r w + g``. So the position with the others held, and the others
with the position held, have exact flows. Symmetric compositions of the two are splittings (Blanes
and Moan 2002).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from optode.model import NeuralODE
from optode.notation import TIME, Field, Tangent, dot, symbol
from optode.presentation import present

START = symbol("t0")
"""The time at the start of a step."""

LENGTH = symbol("d")
"""The length of a sub-step."""

CLOCK = symbol("s")
"""The time in which there is no damping, zero at t0."""


@dataclass(frozen=True, slots=True)
class Damped:
    """``h' = m, m' = -damping*m + force``, and how the damping is removed.

    ``growth`` is P(t) = exp(int_t0^t c), ``clock`` s(t) = int_t0^t dt/P, and ``time`` its inverse
    t(s); ``acceleration`` is d2h/ds2 = P^2 F in t and h.
    """

    model: NeuralODE
    damping: sp.Expr
    force: sp.Expr
    growth: sp.Expr
    clock: sp.Expr
    time: sp.Expr

    @property
    def acceleration(self) -> sp.Expr:
        return present(self.growth**2 * self.force)


@dataclass(frozen=True, slots=True)
class Separable:
    """The flow of the position with the others held, and of each other state with it held.

    Both over a sub-step of length d; time moves with the position. ``reasons`` say what else it is
    not.
    """

    model: NeuralODE
    drift: sp.Expr
    kicks: tuple[tuple[sp.Symbol, sp.Expr], ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class General:
    """No structure, and what stands in the way of each."""

    model: NeuralODE
    reasons: tuple[str, ...]


Stepper: TypeAlias = Damped | Separable | General


class _Unfit(Exception):
    """The reason why the equations have not a structure."""


def derive_stepper(model: NeuralODE) -> Stepper:
    """The structure of a model that an integrator can use."""
    try:
        return _damped(model)
    except _Unfit as reason:
        not_damped = str(reason)
    try:
        return _separable(model, not_damped)
    except _Unfit as reason:
        return General(model, tuple(dict.fromkeys((not_damped, str(reason)))))


def _damped(model: NeuralODE) -> Damped:
    if len(model.states) != 2:
        raise _Unfit(f"not of second order: {len(model.states)} states")
    (position, velocity), (motion, momentum) = model.states, model.equations
    if motion != velocity:
        raise _Unfit(f"not of second order: {position}' is not {velocity}")
    scalars = _scalars(model)
    damping, force = _linear(momentum, velocity)
    if not damping.free_symbols <= scalars:
        raise _Unfit(f"the damping {damping} is not a number at each time")
    return Damped(model, damping, force, *_without_damping(damping))


def _separable(model: NeuralODE, *reasons: str) -> Separable:
    position, *others = model.states
    if not others:
        raise _Unfit("not separable: one state")
    motion, *rest = model.equations
    if motion.has(Field, Tangent):
        raise _Unfit(f"not separable: {position}' has f")
    if motion.has(TIME):
        raise _Unfit(f"not separable: {position}' depends on the time")
    kicks = []
    for state, equation in zip(others, rest, strict=True):
        if equation.free_symbols & (set(others) - {state}):
            raise _Unfit(f"not separable: {state}' has another state that moves with it")
        kicks.append((state, _flow(model, state, equation)))
    return Separable(model, _flow(model, position, motion), tuple(kicks), reasons)


def _flow(model: NeuralODE, state: sp.Symbol, equation: sp.Expr) -> sp.Expr:
    """``w' = -r w + g`` over d with g held: ``w exp(-r d) + g (1 - exp(-r d))/r``."""
    rate, drive = _linear(equation, state)
    if not rate.free_symbols <= _scalars(model):
        raise _Unfit(f"not separable: {state} relaxes at no constant rate")
    if rate == 0:
        return present(state + LENGTH * drive)
    fading = sp.exp(-rate * LENGTH)
    return state * fading + present(drive * (1 - fading) / rate)


def _scalars(model: NeuralODE) -> set[sp.Symbol]:
    """What is one number at each time: the time, and parameters that features share."""
    return {TIME, *(p.symbol for p in model.parameters if not p.per_feature)}


def _linear(equation: sp.Expr, state: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """c and F of ``-c state + F``, neither of which has the state."""
    if any(node.has(state) for node in _opaque(equation)):
        raise _Unfit(f"{state} enters its own derivative through f, a norm or a product")
    slope = sp.cancel(sp.diff(equation, state))
    rest = present(equation.xreplace({state: sp.S.Zero}))
    if slope.has(state):
        raise _Unfit(f"{state} does not enter its own derivative linearly")
    return present(-slope), rest


def _opaque(equation: sp.Expr) -> Iterator[sp.Expr]:
    kinds = (Field, Tangent, dot)
    return (node for node in sp.preorder_traversal(equation) if isinstance(node, kinds))


def _without_damping(damping: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """P(t), s(t) and t(s) where 1/c = alpha + beta t.

    With u = (alpha + beta t)/(alpha + beta t0): P = u^(1/beta), exp((t - t0)/alpha) for beta = 0.
    """
    passed = TIME - START
    if damping == 0:
        return sp.S.One, passed, START + CLOCK
    inverse = sp.cancel(1 / damping)
    if not inverse.is_polynomial(TIME) or sp.degree(inverse, TIME) > 1:
        raise _Unfit(f"the time without the damping {damping} has no closed form")
    beta = present(sp.diff(inverse, TIME))
    if beta == 0:
        growth = sp.exp(damping * passed)
        return (
            growth,
            present((1 - sp.exp(-damping * passed)) / damping),
            START - sp.log(1 - damping * CLOCK) / damping,
        )
    alpha = inverse.subs(TIME, 0)
    at_start = sp.cancel((alpha + beta * START) / beta)
    ratio, power = present(sp.cancel((alpha + beta * TIME) / (alpha + beta * START))), 1 / beta
    if power == 1:
        growth_of_clock = sp.exp(CLOCK / at_start)
        clock = at_start * sp.log(ratio)
    else:
        clock = present(at_start * (1 - ratio ** (1 - power)) / (power - 1))
        growth_of_clock = (1 - (power - 1) * CLOCK / at_start) ** (1 / (1 - power))
    return ratio**power, clock, present(at_start * growth_of_clock - sp.cancel(alpha / beta))
