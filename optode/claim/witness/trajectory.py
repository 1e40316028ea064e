"""Solve a model with a random network, and equations along its trajectory.

Arrays of states, costates and images have the shape (states, features, batch). Random numbers come
from NumPy's legacy generator, whose stream is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

from optode.claim.costates import Costates
from optode.claim.operators import TransposedRate
from optode.claim.verdicts import Equation, Jacobian
from optode.claim.witness.network import TINY, Array, RandomNetwork, compiled, operator_name
from optode.language.functions import borders, kinds
from optode.language.symbols import TIME, Field, FieldTransposed, symbol, velocity_symbol

Function: TypeAlias = Callable[..., Array]
Along: TypeAlias = Callable[[float, Array, Array], Array]
"""``(t, states, others) -> rates of the others``."""

FEATURES = 3
LAST = 0.5
"""How long after the start solutions are compared."""
_MOST = 10_000
"""The evaluations of a solution. Most take some hundreds; near a singularity steps have no end."""
_LONG = 2.0
"""How long matrices are: over short times all Jacobians nearly commute."""


@dataclass(frozen=True)
class Trajectory:
    """A model with a random network; free parameters and the start are in (0.5, 1.5)."""

    costates: Costates
    jacobian_kind: Jacobian = "any"
    seed: int = 0

    @cached_property
    def states(self) -> tuple[sp.Symbol, ...]:
        """The names of the states."""
        return self.costates.model.states

    @cached_property
    def start_time(self) -> float:
        """The start of the model's span."""
        return self.costates.model.span[0]

    @cached_property
    def network(self) -> RandomNetwork:
        """The field."""
        arguments = max(1, len(self.costates.partials))
        return RandomNetwork(self._random(11), FEATURES, arguments, self.jacobian_kind)

    @cached_property
    def values(self) -> dict[sp.Symbol, sp.Float]:
        """The parameters: fixed ones as they are, the others at random."""
        parameters = self.costates.model.parameters
        random = self._random(5).uniform(0.5, 1.5, len(parameters))
        pairs = zip(parameters, random, strict=True)
        return {p.symbol: sp.Float(float(v) if p.value is None else p.value) for p, v in pairs}

    @cached_property
    def start(self) -> Array:
        """The states at the start: of several random ones those with the latest switch of an equation."""
        number = 12 if self.switches else 1
        shape = (number, len(self.states), FEATURES, 1)
        candidates = self._random(7).uniform(0.5, 1.5, shape)
        return np.asarray(max(candidates, key=self._smooth_for))

    def _random(self, stream: int) -> np.random.RandomState:
        return np.random.RandomState(stream + 100 * self.seed)

    @cached_property
    def times(self) -> Array:
        """The times at which solutions are compared, before any equation switches."""
        return self.start_time + np.linspace(0, self._smooth_for(self.start), 4)

    # The vector field

    def compiled(self, inputs: Sequence[sp.Symbol], expressions: Iterable[sp.Expr]) -> Function:
        """Return the values of expressions, stacked; inputs are arrays, or J^T as functions of arrays."""
        run = compiled(inputs, [e.xreplace(self.values) for e in expressions], self.network)

        def stacked(*arguments: Any) -> Array:
            shapes = (np.shape(a) for a in arguments if not callable(a))
            values = run(*arguments)
            kind = complex if any(map(np.iscomplexobj, values)) else float
            filled = np.empty((len(values), *np.broadcast_shapes(*shapes)), kind)
            for index, value in enumerate(values):
                filled[index] = value
            return filled

        return stacked

    @cached_property
    def field(self) -> Function:
        """``(t, *states) -> rates of the states``."""
        return self.compiled((TIME, *self.states), self.costates.model.equations)

    def jacobian(self, t: float, z: Array) -> Array:
        """Return the Jacobian of the vector field, shape (states, features) twice."""
        shape = z.shape[:2]
        moved = z + 1j * TINY * np.eye(z.size).reshape(*shape, z.size)
        return (self.field(t, *moved).imag / TINY).reshape(*shape, *shape)

    def costate_rates(self, t: float, z: Array, a: Array) -> Array:
        """Return ``-M^T a`` with the Jacobian M of the whole vector field."""
        return -np.tensordot(self.jacobian(t, z), a, axes=((0, 1), (0, 1)))

    @cached_property
    def matrices(self) -> tuple[float, Array, Array]:
        """A time, and up to it the integral of the Jacobian and the transition matrix."""
        size = self.start.size
        end = self.start_time + self._smooth_for(self.start, _LONG)

        def rates(t: float, z: Array, y: Array) -> Array:
            jacobian = self.jacobian(t, z).reshape(size, size)
            return np.stack([jacobian, jacobian @ y[1]])

        first = np.stack([np.zeros((size, size)), np.eye(size)])
        integrated, transition = self.solution(first, rates, np.array([end]), 1e-13)[-1]
        return end, integrated, transition

    # Solutions

    def solution(
        self, others: Array, rates: Along, times: Array, tolerance: float = 1e-12
    ) -> Array:
        """Solve equations along the trajectory from the start on; the times are the first axis.

        Raises ValueError where it does not reach the last of them, or not soon.
        """
        size, shape, calls = self.start.size, self.start.shape, count()

        def right(t: float, y: Array) -> Array:
            if next(calls) > _MOST:
                raise ValueError("too many evaluations: the equations are nearly singular")
            z = y[:size].reshape(shape)
            moved = rates(t, z, y[size:].reshape(others.shape))
            return np.concatenate([self.field(t, *z).ravel(), moved.ravel()])

        first = np.concatenate([self.start.ravel(), others.ravel()])
        span = (self.start_time, times[-1])
        found = solve_ivp(right, span, first, "DOP853", times, rtol=tolerance, atol=tolerance)
        if not found.success:
            raise ValueError(found.message)
        return np.asarray(found.y.T[:, size:].reshape(-1, *others.shape))

    def rough_solution(self, others: Array, rates: Along) -> Array:
        """Solve up to the end by the classical Runge-Kutta method, which steps over switches."""
        number, times = len(self.states), self.start_time + np.linspace(0, LAST, 30)

        def right(t: float, y: Array) -> Array:
            z = y[:number]
            return np.concatenate([self.field(t, *z), rates(t, z, y[number:])])

        y = np.concatenate([self.start, others])
        for t, h in zip(times, np.diff(times), strict=False):
            k1 = right(t, y)
            k2 = right(t + h / 2, y + h / 2 * k1)
            k3 = right(t + h / 2, y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + right(t + h, y + h * k3))
        return y[number:]

    @cached_property
    def switches(self) -> list[sp.Expr]:
        """Return the expressions that change sign where an equation has a kink or a jump."""
        rough = kinds("kink", "jump", "contact")
        equations = self.costates.model.equations
        return borders(call for equation in equations for call in equation.atoms(*rough))

    def _smooth_for(self, start: Array, span: float = LAST) -> float:
        """Return how long no equation switches, with a margin; at most the span."""
        if not self.switches:
            return span
        switches = self.compiled((TIME, *self.states), self.switches)

        def event(index: int) -> Callable[[float, Array], float]:
            def value(t: float, y: Array) -> float:
                return float(switches(t, *y.reshape(start.shape)).ravel()[index])

            value.terminal = True  # type: ignore[attr-defined]
            return value

        found = solve_ivp(
            lambda t, y: self.field(t, *y.reshape(start.shape)).ravel(),
            (self.start_time, self.start_time + span),
            start.ravel(),
            rtol=1e-8,
            events=[event(index) for index in range(len(self.switches) * FEATURES)],
        )
        return span if found.status == 0 else 0.9 * float(found.t[-1] - self.start_time)

    # Equations along it

    def along(
        self, vectors: Sequence[sp.Symbol], right: Sequence[sp.Expr], names: Iterable[Equation]
    ) -> Function:
        """Return ``(clock, t, states, vectors) -> right-hand sides``, time read from a clock.

        Named factors, their rates, the field and J^T are those of the trajectory at time t.
        """
        found = dict.fromkeys(call for e in right for call in e.atoms(Field))
        calls = {call: symbol(f"call{index}") for index, call in enumerate(found)}
        moving = dict(names) | {name: call for call, name in calls.items()}
        rates = map(velocity_symbol, moving)
        operators = {operator_name(node): node for e in right for node in e.atoms(FieldTransposed)}
        factors = self.compiled((TIME, *self.states), moving.values())
        inputs = (TIME, *self.states, *vectors, *moving, *rates, *map(sp.Symbol, operators))
        run = self.compiled(inputs, [e.xreplace(calls) for e in right])

        def evaluate(clock: float, t: float, z: Array, values: Array) -> Array:
            moved = z + 1j * TINY * self.field(t, *z)
            named = factors(t + 1j * TINY, *moved) if moving else np.zeros((0, FEATURES, 1))
            applied = [self._operator(node, t, moved) for node in operators.values()]
            return run(clock, *z, *values, *named.real, *(named.imag / TINY), *applied)

        return evaluate

    @cached_property
    def _arguments(self) -> Function:
        return self.compiled((TIME, *self.states), self.costates.model.field_arguments)

    def _operator(self, node: sp.Expr, t: float, moved: Array) -> Callable[[Array], Array]:
        """Return J^T of one argument of the field, or its rate, as a function of vectors."""
        index = self.costates.partials.index(node.args[1:])
        time = t + 1j * TINY
        jacobian = self.network.jacobian(time, self._arguments(time, *moved), index)
        matrix = jacobian.imag / TINY if isinstance(node, TransposedRate) else jacobian.real
        return lambda vector: matrix.T @ vector
