"""The structure of a neural ODE that an integrator can use, found in its equations.

**Damped, of second order**: ``h' = m, m' = -c(t) m + F(t, h)``. With ``R = exp(1/2 int c)`` and
``w = R h`` the damping is gone, ``w'' = R F(t, w/R) + q w`` where ``q = c^2/4 + c'/2``: Liouville's
normal form (Olver, Asymptotics and Special Functions, 1974, chapter 6), and the special
second-order form of the Runge-Kutta-Nyström methods (Hairer, Nørsett and Wanner, Solving Ordinary
Differential Equations I, II.14). Back again, ``h = w/R`` and ``m = w'/R - c h/2``.

**Separable**: the position's derivative is free of f, and with the others held every state moves in
a straight line or relaxes, ``w' = -r w + g``. So the position with the others held, and the others
with the position held, have exact flows. Symmetric compositions of the two are splittings (Blanes
and Moan 2002).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import sympy as sp

from optode.calculus.integrals import antiderivative
from optode.language.derivative import partial
from optode.language.effort import MOST_TO_CANCEL, cancelled, factored, is_modest, is_zero
from optode.language.elementwise import expm1
from optode.language.functions import bends
from optode.language.presentation import present
from optode.language.symbols import TIME, Field, Opaque, Oracle, Reduction
from optode.model.model import NeuralODE

START = sp.Symbol("t0", real=True, nonzero=True)
"""The time where R is 1."""

LENGTH = sp.Symbol("d", real=True, nonzero=True)
"""The length of a sub-step."""

SCALED = sp.Symbol("w")
"""The position times R. These three are told apart from states and parameters of such names."""

_LARGEST_DEGREE = 4
"""Of a damping that is a rational function; of more, partial fractions fill pages."""


@dataclass(frozen=True, slots=True)
class Damped:
    """``h' = m, m' = -damping*m + force``, and how the damping is removed.

    ``root`` is R(t) = exp(1/2 int_t0^t c), the square root of what the damping takes from t0 to t,
    for times on either side of t0; ``curvature`` is q.
    """

    methods: ClassVar[tuple[str, ...]] = ("nystrom4", "nystrom5", "nystrom6")
    model: NeuralODE
    damping: sp.Expr
    force: sp.Expr
    root: sp.Expr
    curvature: sp.Expr

    @property
    def acceleration(self) -> sp.Expr:
        """w'' in t, h and w = R h."""
        return present(self.root * self.force) + present(self.curvature * SCALED)


@dataclass(frozen=True, slots=True)
class Separable:
    """The flow of the position with the others held, and of each other state with it held.

    Both over a sub-step of length d; the time moves with the position and is held with it. Each
    flow is ``z + d*rate``, with the rate in a form that is accurate for short sub-steps too.
    ``reasons`` say what else it is not.
    """

    methods: ClassVar[tuple[str, ...]] = ("splitting2", "splitting4")
    model: NeuralODE
    drift: sp.Expr
    kicks: tuple[tuple[sp.Symbol, sp.Expr], ...]
    drift_rate: sp.Expr
    kick_rates: tuple[tuple[sp.Symbol, sp.Expr], ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class General:
    """A model without such a structure, and the reason why it has neither."""

    methods: ClassVar[tuple[str, ...]] = ()
    model: NeuralODE
    reasons: tuple[str, ...]


Stepper: TypeAlias = Damped | Separable | General


class _Unfit(Exception):
    """The reason why the equations have not a structure."""


def derive_stepper(model: NeuralODE) -> Stepper:
    """Find the structure of a model that an integrator can use."""
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
    root = _root(damping)
    fixed = {p.symbol: p.value for p in model.parameters if p.value is not None}
    if root.xreplace(fixed).has(sp.zoo, sp.nan):
        raise _Unfit(f"the integral of the damping {damping} has another form for these constants")
    curvature = factored(damping**2 / 4 + partial(damping, TIME) / 2)
    return Damped(model, damping, force, root, curvature)


def _separable(model: NeuralODE, *reasons: str) -> Separable:
    position, *others = model.states
    if not others:
        raise _Unfit("not separable: one state")
    motion, *rest = model.equations
    if motion.has(Opaque):
        operators = {str(call.args[0]) for call in motion.atoms(Oracle)}
        called = ["f"] * motion.has(Field) + sorted(operators)
        raise _Unfit(f"not separable: {position}' has {called[0]}")
    if motion.has(TIME):
        raise _Unfit(f"not separable: {position}' depends on the time")
    flows, rates = [], []
    for state, equation in zip(others, rest, strict=True):
        if equation.free_symbols & (set(others) - {state}):
            raise _Unfit(f"not separable: {state}' has another state that moves with it")
        flow, rate = _flow(model, state, equation)
        flows.append((state, flow))
        rates.append((state, rate))
    drift, drift_rate = _flow(model, position, motion)
    return Separable(model, drift, tuple(flows), drift_rate, tuple(rates), reasons)


def _flow(model: NeuralODE, state: sp.Symbol, equation: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Solve ``w' = -r w + g`` over d with g held: ``w exp(-r d) + g (1 - exp(-r d))/r``.

    The mean rate over d, ``(g - r w) (1 - exp(-r d))/(r d)``, is returned too. It has expm1: in
    1 - exp(-r d) all digits would cancel where r d is small.
    """
    decay, drive = _linear(equation, state)
    if not decay.free_symbols <= _scalars(model):
        raise _Unfit(f"not separable: {state} relaxes at no constant rate")
    absent = {p.symbol: sp.S.Zero for p in model.parameters if p.value == 0}
    decay = decay.xreplace(absent)  # r itself stands in a denominator
    if decay == 0:
        return present(state + LENGTH * drive), drive
    fading = sp.exp(-decay * LENGTH)
    return (
        state * fading + present(drive * (1 - fading) / decay),
        present((decay * state - drive) / decay) * expm1(-decay * LENGTH) / LENGTH,
    )


def _scalars(model: NeuralODE) -> set[sp.Symbol]:
    """Return the symbols that are one number at each time: the time, and shared parameters."""
    return {TIME, *(p.symbol for p in model.parameters if not p.per_feature)}


def _linear(equation: sp.Expr, state: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """Split an equation into c and F of ``-c state + F``, neither of which has the state."""
    if any(node.has(state) for node in _opaque(equation)):
        raise _Unfit(f"{state} enters its own derivative through f, a norm or a product")
    slope = cancelled(partial(equation, state))
    rest = present(equation.xreplace({state: sp.S.Zero}))
    if slope.has(state) or bends(equation, state):
        raise _Unfit(f"{state} does not enter its own derivative linearly")
    return present(-slope), rest


def _opaque(equation: sp.Expr) -> Iterator[sp.Expr]:
    kinds = (Opaque, Reduction)
    return (node for node in sp.preorder_traversal(equation) if isinstance(node, kinds))


def _root(damping: sp.Expr) -> sp.Expr:
    """Return ``exp(1/2 int_t0^t c)``, a power where c has a pole: ``(t/t0)**(r/2)`` for r/t.

    A ratio to its value at t0 is positive on both sides of t0, as far as the next singular time.
    """
    terms = sp.Add.make_args(sp.expand_mul(damping / 2))
    rational = [term for term in terms if term.is_rational_function(TIME)]
    other = sp.Add(*(term for term in terms if term not in rational))
    fractions, more = _rational_integral(sp.Add(*rational)), _other_integral(other)
    if fractions is None or more is None:
        raise _Unfit(f"the integral of the damping {damping} has no closed form found at once")
    gained, powers = fractions
    passed = TIME - START
    mean = factored(cancelled((gained - gained.xreplace({TIME: START})) / passed))
    return powers * sp.exp(passed * mean + present(more - more.xreplace({TIME: START})))


def _rational_integral(rate: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """Integrate a rational function: its rational part, and exp of its logarithms from t0.

    By partial fractions, whose numerators have to be multiples of p' over a power of p: without
    arc tangents, and without roots of p, which may be complex.
    """
    gained, powers = sp.S.Zero, sp.S.One
    if not is_modest(rate, most=MOST_TO_CANCEL):
        return None
    try:
        sides = sp.fraction(sp.cancel(rate))
        if max(sp.degree(side, TIME) for side in sides) > _LARGEST_DEGREE:
            return None
        for fraction in sp.Add.make_args(sp.apart(rate, TIME)):
            above, below = sp.fraction(sp.together(fraction))
            coefficient, factors = sp.factor_list(below, TIME)
            if not factors:
                gained += sp.Poly(fraction, TIME).integrate(TIME).as_expr()
                continue
            if len(factors) > 1:
                return None
            [(base, order)] = factors
            share = sp.cancel(above / (coefficient * partial(base, TIME)))
            if share.has(TIME):
                return None
            if order == 1:
                powers *= (base / base.xreplace({TIME: START})) ** share
            else:
                gained += share * base ** (1 - order) / (1 - order)
    except (sp.PolynomialError, NotImplementedError):
        return None
    return gained, powers


def _other_integral(rate: sp.Expr) -> sp.Expr | None:
    """Integrate in powers and exponentials; other functions may be complex where c is real."""
    found = antiderivative(rate)
    if found is None:
        return None
    functions = (node for node in found.atoms(sp.Function) if node.has(TIME))
    if not all(isinstance(node, sp.exp) for node in functions):
        return None
    return found if is_zero(partial(found, TIME) - rate) else None
