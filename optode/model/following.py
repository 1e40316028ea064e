"""How the states follow from f, once f is given along the solution.

What an oracle gives, the network f first of all, costs much; the rest of an equation costs little.
So take every call of an oracle as a given function of time. Each state is then of one of two kinds:

- **driven**: ``z' = L z + g``. The coefficients L are one number at each time, and stand with driven
  states alone. The rest g is taken as a function of time, too, known at some nodes only.
- **follower**: its own equation is integrated, once the driven states and earlier followers are
  known. It is nonlinear in them, and may relax: ``z' = L z + g`` with its own number L.

Any state can be driven. But a rest that has states in it is known no sooner than they are, as f is.
So the fewest integrations lie between one such value and the next: the relative degree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TypeAlias

import sympy as sp

from optode.language.derivative import partial
from optode.language.effort import cancelled, is_zero
from optode.language.functions import bends
from optode.language.presentation import simple_scalar
from optode.language.symbols import TIME, Opaque, Reduction
from optode.model.model import NeuralODE

States: TypeAlias = tuple[sp.Symbol, ...]
Matrix: TypeAlias = tuple[tuple[sp.Expr, ...], ...]
"""Rows of entries, both in the order of the states."""

_MOST_TO_COMPARE = 12
"""Possible followers, of which all sets are compared; of more, one state is changed at a time."""


@dataclass(frozen=True, slots=True)
class Following:
    """How the states of a model follow from given values of f and of all other oracles.

    ``followers`` are groups of states, each integrated along the driven states and the groups
    before it; the other states are driven. ``linear_part`` is L, with the rates at which followers
    relax on its diagonal. ``rests`` are the driven states whose rest has states in it, and
    ``linear_only`` those that have no rest. ``rest`` is what the linear part leaves of the rates of
    all others. ``relative_degree`` is the smallest number of
    integrations between what is given, an oracle's value or a rest with states in it, and a state
    that such a value needs.
    """

    model: NeuralODE
    followers: tuple[States, ...]
    followers_see_f: bool
    rests: States
    linear_only: States
    linear_part: Matrix
    rest: Mapping[sp.Symbol, sp.Expr]
    relative_degree: int


@dataclass(frozen=True, slots=True)
class _Equation:
    """What the rate of a state reads outside of oracles.

    ``linear`` has the states that stand there with a number at each time, ``bent`` all others.
    """

    linear: Mapping[sp.Symbol, sp.Expr]
    bent: frozenset[sp.Symbol]
    sees_f: bool

    @property
    def read(self) -> set[sp.Symbol]:
        """All states that it reads."""
        return {*self.linear, *self.bent}


_Equations: TypeAlias = Mapping[sp.Symbol, _Equation]


def derive_following(model: NeuralODE) -> Following:
    """Find out which states of a model are driven, and in which order the others follow."""
    states, pairs = model.states, zip(model.states, model.equations, strict=True)
    equations = {state: _looked_at(model, equation) for state, equation in pairs}
    calls = set[sp.Expr]().union(*(e.atoms(Opaque) for e in model.equations))
    called = {z for z in states if any(z in call.free_symbols for call in calls)}
    chosen = _followers(equations, called)
    driven = {z: None for z in states if z not in chosen}.keys()
    levels = _levels(equations, chosen)
    degree = _degree(equations, called, chosen)
    linear_part = tuple(
        tuple(
            equations[z].linear.get(x, sp.S.Zero) if z == x or {z, x} <= driven else sp.S.Zero
            for x in states
        )
        for z in states
    )
    rows = zip(states, model.equations, linear_part, strict=True)
    rests = {z: _rest(states, rate, row) for z, rate, row in rows}
    whole = {z for z in driven if is_zero(rests[z])}
    return Following(
        model,
        followers=tuple(
            tuple(z for z in states if levels.get(z) == n)
            for n in range(max(levels.values(), default=-1) + 1)
        ),
        followers_see_f=any(equations[z].sees_f for z in chosen),
        rests=tuple(z for z in driven if _in_rest(equations, z, chosen)),
        linear_only=tuple(z for z in driven if z in whole),
        linear_part=linear_part,
        rest={z: rest for z, rest in rests.items() if z not in whole},
        relative_degree=degree if degree <= len(states) else 1,
    )


def _looked_at(model: NeuralODE, equation: sp.Expr) -> _Equation:
    names = {call: sp.Dummy(real=True) for call in equation.atoms(Opaque)}
    given = equation.xreplace(names)  # from the outside in: a call in a call is given with it
    found = {z: _coefficient(model, z, given) for z in model.states if z in given.free_symbols}
    linear = {z: number for z, number in found.items() if number is not None and number != 0}
    return _Equation(linear, frozenset(z for z, n in found.items() if n is None), bool(names))


def _rest(states: States, equation: sp.Expr, numbers: Sequence[sp.Expr]) -> sp.Expr:
    """Return a rate without what moves linearly: it is affine in the states that do."""
    names = {call: sp.Dummy(real=True) for call in equation.atoms(Opaque)}
    moving = {z: sp.S.Zero for z, number in zip(states, numbers, strict=True) if number != 0}
    given = equation.xreplace(names).xreplace(moving)
    return given.xreplace({name: call for call, name in names.items()})


def _coefficient(model: NeuralODE, state: sp.Symbol, equation: sp.Expr) -> sp.Expr | None:
    """Return the number at each time that a state stands with, None where it enters otherwise.

    A number is of the time and shared parameters, for features of any number.
    """
    if bends(equation, state) or any(node.has(state) for node in equation.atoms(Reduction)):
        return None
    numbers = {TIME, *(p.symbol for p in model.parameters if not p.per_feature)}
    slope = partial(equation, state)
    slope = simple_scalar(slope if slope.free_symbols <= numbers else cancelled(slope))
    return None if slope.has(Reduction) or not slope.free_symbols <= numbers else slope


# Which states follow


def _followers(equations: _Equations, called: Collection[sp.Symbol]) -> States:
    """Choose the followers: those with which the relative degree is highest, and which bend least.

    Of equals the fewest rests have states in them, the fewest states follow, and the first states
    do: the position.
    """
    possible = [z for z, e in equations.items() if z not in e.bent and e.read - {z}]

    def cost(chosen: States) -> tuple[int, int, int, int]:
        rests = [_in_rest(equations, z, chosen) for z in equations if z not in chosen]
        bent = [z for z, e in equations.items() if e.bent and z not in chosen]
        degree = _degree(equations, called, chosen)
        return -degree, len(bent), sum(map(bool, rests)), len(chosen)

    def best(choices: Iterable[States]) -> States:
        return min((c for c in choices if len(_levels(equations, c)) == len(c)), key=cost)

    if len(possible) <= _MOST_TO_COMPARE:
        sizes = range(len(possible) + 1)
        return best(chain.from_iterable(combinations(possible, n) for n in sizes))
    found: States = ()
    while True:
        changed = (tuple(x for x in possible if (x in found) != (x == z)) for z in possible)
        better = best((found, *changed))
        if better == found:
            return found
        found = better


def _in_rest(equations: _Equations, state: sp.Symbol, followers: States) -> set[sp.Symbol]:
    """Return the states in the rest of a driven state's equation."""
    equation = equations[state]
    return {*equation.bent, *(z for z in equation.linear if z in followers)}


def _levels(equations: _Equations, followers: States) -> dict[sp.Symbol, int]:
    """Return the number of each follower's group, without those that are in cycles.

    It is one more than the last of those that it reads.
    """
    needed = {z: equations[z].read.intersection(followers) - {z} for z in followers}
    found: dict[sp.Symbol, int] = {}
    while ready := [z for z in needed if z not in found and needed[z] <= {*found}]:
        found |= {z: 1 + max((found[x] for x in needed[z]), default=-1) for z in ready}
    return found


def _degree(equations: _Equations, called: Collection[sp.Symbol], followers: States) -> int:
    """Return the relative degree; more than there are states where nothing given reaches a state."""
    driven = [z for z in equations if z not in followers]
    rests = {z: _in_rest(equations, z, followers) for z in driven}
    read = {*called}.union(*rests.values())
    moves = {z: equations[z].read - rests.get(z, set()) for z in equations}
    reached = {z for z, e in equations.items() if e.sees_f or rests.get(z)}
    number = 1
    while number <= len(equations) and not reached & read:
        reached |= {z for z in equations if moves[z] & reached}
        number += 1
    return number
