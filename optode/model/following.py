"""In which order the states follow from f, once f is given along the solution.

What an oracle gives, the network f first of all, costs much; the rest of an equation costs little.
So take every call of an oracle as a given function of time. A state whose equation is linear in
itself, ``z' = -rate*z + rest``, then **relaxes**, and has a closed form. A state that needs no other
but those found before it follows by an integral. States that need each other in a cycle follow once
some of them are **held**: given as functions of time, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import sympy as sp

from optode.language.derivative import partial
from optode.language.effort import cancelled
from optode.language.functions import bends
from optode.language.presentation import simple_scalar
from optode.language.symbols import TIME, Opaque, Reduction
from optode.model.model import NeuralODE

States: TypeAlias = tuple[sp.Symbol, ...]
Needs: TypeAlias = Mapping[sp.Symbol, Collection[sp.Symbol]]
"""The states that each state's equation has outside of oracles and of its own relaxation."""

_MOST_TO_COMPARE = 12
"""States in cycles, of which all sets are tried; of more, states are held one after another."""


@dataclass(frozen=True, slots=True)
class Following:
    """How the states follow from given values of f and of all other oracles.

    ``layers`` are groups of states: each needs states of earlier groups, and ``held`` ones. A held
    state that is needed in its own group or before it is given as f is. ``rates`` has the rate at
    which each state relaxes, 0 where it does not. ``relative_degree`` counts the integrations
    between a given value and what an oracle reads, or is held, where there are fewest.
    """

    layers: tuple[States, ...]
    held: States
    rates: tuple[sp.Expr, ...]
    relative_degree: int


def derive_following(model: NeuralODE) -> Following:
    """Find the order in which the states of a model follow from f."""
    states, equations = model.states, tuple(map(_with_oracles_given, model.equations))
    pairs = tuple(zip(states, equations, strict=True))
    found = [_relaxation(model, state, equation) for state, equation in pairs]
    needs = {
        state: {z for z in states if z in equation.free_symbols and (z != state or rate is None)}
        for (state, equation), rate in zip(pairs, found, strict=True)
    }
    calls = set[sp.Expr]().union(*(e.atoms(Opaque) for e in model.equations))
    driven = {z for z, e in zip(states, model.equations, strict=True) if e.has(Opaque)}
    held = _held(states, needs, _distances(needs, driven))
    level = _levels(states, needs, held)
    driven |= {z for z in states if any(x in held and level[x] >= level[z] for x in needs[z])}
    known = {z: [x for x in needs[z] if level[x] < level[z]] for z in states}
    distance = _distances(known, driven)
    read = [z for z in states if z in held or any(z in call.free_symbols for call in calls)]
    groups = range(max(level.values()) + 1)
    return Following(
        layers=tuple(tuple(z for z in states if level[z] == n) for n in groups),
        held=held,
        rates=tuple(sp.S.Zero if rate is None else rate for rate in found),
        relative_degree=min((distance[z] for z in read if z in distance), default=1),
    )


def _with_oracles_given(equation: sp.Expr) -> sp.Expr:
    """Return an equation with a name for each call of an oracle that stands in no other call."""
    names = {call: sp.Dummy(real=True) for call in equation.atoms(Opaque)}
    return equation.xreplace(names)  # from the outside in


def _relaxation(model: NeuralODE, state: sp.Symbol, equation: sp.Expr) -> sp.Expr | None:
    """Return the rate at which a state relaxes, 0 where its equation is free of it; None if neither.

    A rate is one number at each time: of the time and shared parameters, for features of any number.
    """
    if state not in equation.free_symbols:
        return sp.S.Zero
    if bends(equation, state) or any(node.has(state) for node in equation.atoms(Reduction)):
        return None
    numbers = {TIME, *(p.symbol for p in model.parameters if not p.per_feature)}
    slope = partial(equation, state)
    rate = simple_scalar(-(slope if slope.free_symbols <= numbers else cancelled(slope)))
    return None if rate.has(Reduction) or not rate.free_symbols <= numbers else rate


def _distances(needs: Needs, driven: Collection[sp.Symbol]) -> dict[sp.Symbol, int]:
    """Return how many integrations lie between a given value and each state that one reaches."""
    found: dict[sp.Symbol, int] = {}
    reached, number = set(driven), 1
    while reached:
        found |= dict.fromkeys(reached, number)
        reached = {z for z in needs if z not in found and any(x in found for x in needs[z])}
        number += 1
    return found


# Cycles


def _held(states: States, needs: Needs, distances: Mapping[sp.Symbol, int]) -> States:
    """Return the smallest set of states without which there is no cycle.

    Of several the one with the position, else that of the states farthest from f.
    """
    alone = [z for z in states if z in needs[z]]
    others = [z for z in states if z not in alone and z in _after(z, needs, without=alone)]

    def cost(chosen: Iterable[sp.Symbol]) -> tuple[bool, int]:
        far = len(states) + 1  # what f does not reach is farther than all that it does
        return states[0] not in {*chosen}, -sum(distances.get(z, far) for z in chosen)

    def opens(chosen: Collection[sp.Symbol]) -> bool:
        cut = {*alone, *chosen}
        return all(z in cut or z not in _after(z, needs, without=cut) for z in others)

    if len(others) > _MOST_TO_COMPARE:
        first = sorted(others, key=lambda z: cost([z]))
        best = first[: next(n for n in range(len(first) + 1) if opens(first[:n]))]
    else:
        sets = (combinations(others, n) for n in range(len(others) + 1))
        fitting = ([chosen for chosen in alike if opens(chosen)] for alike in sets)
        best = list(next(min(found, key=cost) for found in fitting if found))
    return tuple(z for z in states if z in alone or z in best)


def _after(state: sp.Symbol, needs: Needs, without: Collection[sp.Symbol] = ()) -> set[sp.Symbol]:
    """Return what a state needs, directly or through others, none of which is left out."""
    found: set[sp.Symbol] = set()
    open_ones = {state}
    while open_ones:
        open_ones = {x for z in open_ones for x in needs[z]} - found - {*without}
        found |= open_ones
    return found


def _levels(states: States, needs: Needs, held: States) -> dict[sp.Symbol, int]:
    """Return the number of each state's group: one more than the last of those that it needs.

    A held state is needed as any other is, except by the states of its cycles.
    """
    after = {z: _after(z, needs) for z in states}
    first = {z: [x for x in needs[z] if x not in held or z not in after[x]] for z in states}
    found: dict[sp.Symbol, int] = {}
    while len(found) < len(states):
        ready = [z for z in states if z not in found and all(x in found for x in first[z])]
        found |= {z: 1 + max((found[x] for x in first[z]), default=-1) for z in ready}
    return found
