"""The costates of a model, and the equations that they are claimed to satisfy.

The forward equation with ``J^T`` in the place of f is written in images: ``b_h`` stands where h
stood. Its right-hand sides come from the model; those of the linearised equation come from the
adjoint system, transposed once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem, adjoint_system
from optode.calculus.integrals import integral
from optode.claim.elimination import Flow
from optode.claim.operators import NotEliminated, NotLinear, Operators, shortest, vanishes
from optode.language.program import FieldCall
from optode.language.symbols import (
    TIME,
    Field,
    FieldTransposed,
    Opaque,
    Tangent,
    symbol,
    velocity_symbol,
)
from optode.model.model import NeuralODE

Equations: TypeAlias = dict[sp.Symbol, sp.Expr]
"""The right-hand sides, each under the symbol that it is the derivative of."""


@dataclass(frozen=True)
class Costates:
    """The adjoint system of a model, with a symbol for the image that replaces each state."""

    model: NeuralODE

    @cached_property
    def system(self) -> AdjointSystem:
        """The costate equations."""
        return adjoint_system(self.model)

    @cached_property
    def of(self) -> dict[sp.Symbol, sp.Symbol]:
        """The costate of each state."""
        return dict(zip(self.model.states, self.system.costates, strict=True))

    @cached_property
    def images(self) -> dict[sp.Symbol, sp.Symbol]:
        """The symbol of the image that replaces each state: ``b_h`` for h."""
        return self._named(0)

    @cached_property
    def other_images(self) -> dict[sp.Symbol, sp.Symbol]:
        """The symbols of a second solution: ``c_h`` for h."""
        return self._named(1)

    def _named(self, index: int) -> dict[sp.Symbol, sp.Symbol]:
        """Return the beginnings of the symbols: no name of the model begins so."""
        known = {s.name for s in (*self.model.states, *(p.symbol for p in self.model.parameters))}
        stems = ["b", "c", "y", "w", *(f"image{number}" for number in range(len(known) + 2))]
        free = [s for s in stems if not any(f"{name}_".startswith(f"{s}_") for name in known)]
        return {state: symbol(f"{free[index]}_{state}") for state in self.model.states}

    @cached_property
    def operators(self) -> Operators:
        """The symbols in which the equations are linear: costates, their derivatives, images."""
        costates = self.system.costates
        images = (*self.images.values(), *self.other_images.values())
        return Operators(self.model.states, (*costates, *map(velocity_symbol, costates), *images))

    def rates(self, dropped: Iterable[sp.Symbol] = ()) -> Equations:
        """Return the rates of t, states and costates, without the costates of some states."""
        gone = {self.of[state]: sp.S.Zero for state in dropped}
        pairs = zip(self.system.costates, self.system.equations, strict=True)
        costates = {a: e.xreplace(gone) for a, e in pairs if a not in gone}
        states = zip(self.model.states, self.model.equations, strict=True)
        return {TIME: sp.S.One, **dict(states), **costates}

    def flow(self, claimed: Equations, dropped: Iterable[sp.Symbol] = ()) -> Flow:
        """Return the costates along a trajectory, with the equations claimed for their images."""
        return Flow(self.operators, self.rates(dropped), claimed)

    def forward(self, held: tuple[sp.Symbol, ...] = ()) -> Equations:
        """Return the forward equations of the images, with J^T in the place of f.

        Held states stay what they are along the trajectory. Raises NotEliminated where J^T is not
        one linear operator.
        """
        in_block = {z: b for z, b in self.images.items() if z not in held}
        transposed = self._field_transposed(in_block)
        pairs = zip(self.model.states, self.model.equations, strict=True)
        equations = {in_block[z]: right for z, right in pairs if z in in_block}
        self.without_products(equations.values())
        return {b: right.xreplace({**transposed, **in_block}) for b, right in equations.items()}

    def _field_transposed(self, images: Mapping[sp.Symbol, sp.Expr]) -> dict[sp.Expr, sp.Expr]:
        """Return the replacement of the call of f: the sum of J^T of its arguments' images."""
        found = {}
        for call in self.calls:
            pairs = zip(call.args[1:], self.partials, strict=True)
            moving = [
                (argument.xreplace(images), p) for argument, p in pairs if argument.has(*images)
            ]
            try:
                for image, _ in moving:
                    self.operators.terms(image)
            except NotLinear:
                raise NotEliminated("f is called at a point that is not linear in them") from None
            found[call] = sp.Add(*(FieldTransposed(image, *partial) for image, partial in moving))
        return found

    @cached_property
    def calls(self) -> tuple[sp.Expr, ...]:
        """Return the call of f, or None; raises NotEliminated if there are several."""
        calls = {call for e in self.model.equations for call in e.atoms(Field)}
        if len(calls) > 1:
            raise NotEliminated("f is called at several points: there is no one J^T")
        return tuple(calls)

    def without_products(self, equations: Iterable[sp.Expr]) -> None:
        """Raise NotEliminated where f is called at several points or a Jacobian product stands."""
        if self.calls and any(equation.has(Tangent) for equation in equations):
            raise NotEliminated("a Jacobian product J(u) stands in the equations")

    @cached_property
    def partials(self) -> tuple[tuple[sp.Symbol, ...], ...]:
        """Return the arguments by which ``FieldTransposed`` names a partial Jacobian; () if f has one argument."""
        calls = (s for s in self.system.forward.statements if isinstance(s, FieldCall))
        arguments = next((call.arguments for call in calls if not call.directions), ())
        return tuple((a,) for a in arguments) if len(arguments) > 1 else ((),)

    def linearised(self) -> Equations:
        """Return the linearised forward equations of the images, with J^T in the place of J.

        ``a' = -M^T a`` is the adjoint of ``dz' = M dz``: its transpose, entry by entry, is M with
        J^T for J. Raises NotEliminated where J^T is not one operator.
        """
        self.without_products(self.model.equations)
        found = dict.fromkeys(self.images.values(), sp.S.Zero)
        for state, equation in zip(self.model.states, self.system.equations, strict=True):
            for other, image in self.images.items():
                rest = {a: sp.S.Zero for z, a in self.of.items() if z != other}
                entry = self.operators.transposed(equation.xreplace(rest), self.images[state])
                found[image] -= sp.Add(*(c * vector for vector, c in entry.items()))
        return {image: self.operators.normal(right) for image, right in found.items()}

    def superposed(self, adds: bool = False) -> Equations:
        """Return the shortest ``F(b + c) - F(b) - F(c)`` that is not 0; for a linear F all are.

        F is the forward equation with J^T in the place of f; c are the images b again, unless it
        ``adds`` others. Empty where all vanish.
        """
        first = self.images
        other = self.other_images if adds else first
        calls = list(self._field_transposed(first))
        f, g = sp.Dummy(real=True), sp.Dummy(real=True)
        of_first = {**first, f: f}
        of_other = {**other, f: g if adds else f}
        of_both = {z: of_first[z] + of_other[z] for z in of_first}
        pairs = zip(self.model.states, self.model.equations, strict=True)
        for state, right in sorted(pairs, key=lambda pair: sp.count_ops(pair[1])):
            right = right.xreplace(dict.fromkeys(calls, f))
            defect = right.xreplace(of_both) - right.xreplace(of_first) - right.xreplace(of_other)
            if not vanishes(defect):
                names = ((f, first), (g, other))
                back = {n: v for n, z in names for v in self._field_transposed(z).values()}
                return {first[state]: shortest(defect).xreplace(back)}
        return {}


def without_clocks(model: NeuralODE) -> tuple[NeuralODE, Equations]:
    """Return the model with the states that are functions of time alone put in, and these functions.

    They start where nothing but numbers and parameters says, and nothing else moves them.
    """
    clocks: Equations = {}
    start = sp.Rational(repr(model.span[0]))
    for state, right, first in zip(model.states, model.equations, model.initial, strict=True):
        value = sp.S.Zero if first.kind == "zero" else first.expression
        if value is None or (right + value).has(*model.states, Opaque):
            continue
        if (gained := integral(right, start, TIME)) is not None:
            clocks[state] = sp.expand(value + gained)
    if not clocks:
        return model, clocks
    kept = [i for i, state in enumerate(model.states) if state not in clocks]
    equations = tuple(e.xreplace(clocks) for e in model.equations)

    def only(values: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...]:
        return tuple(values[i] for i in kept)

    reduced = replace(
        model,
        states=only(model.states),
        equations=only(equations),
        initial=only(model.initial),
        branch=only(model.branch) if model.branch else (),
    )
    return reduced, clocks
