"""Numerical checks of a derivation: the rule iterated, its limit evaluated, orders observed.

Everything is float64 on NumPy arrays; the programs are those the modules are made of, evaluated
here statement by statement, so that a check does not depend on the emitted text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from optode.limit import ContinuousLimit
from optode.notation import COUNTER, TIME
from optode.program import Assign, FieldCall, Program, lower
from optode.rule import UpdateRule

Array: TypeAlias = NDArray[np.float64]
Oracle: TypeAlias = Callable[..., Array]

_NUMPY = {
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "softplus": lambda u: np.logaddexp(0, u),
    "relu": lambda u: np.maximum(u, 0),
    "step": lambda u: np.where(u > 0, 1.0, 0.0),
    "hardtanh": np.clip,
}


def evaluator(
    program: Program,
) -> Callable[[Mapping[str, Array | float], Oracle], tuple[Array, ...]]:
    """A function ``(values by name, oracle) -> outputs`` that carries the program out.

    The oracle is called with the arguments of each call, without the time: ``g(x)``.
    """
    names = {s.name: sp.lambdify(_symbols(s.value), s.value, [_NUMPY, "numpy"])
             for s in program.statements if isinstance(s, Assign)}  # fmt: skip

    def run(values: Mapping[str, Array | float], oracle: Oracle) -> tuple[Array, ...]:
        environment = dict(values)
        for statement in program.statements:
            if isinstance(statement, Assign):
                arguments = [environment[s.name] for s in _symbols(statement.value)]
                environment[statement.name.name] = names[statement.name](*arguments)
            elif isinstance(statement, FieldCall):
                environment[statement.name.name] = oracle(
                    *(environment[a.name] for a in statement.arguments)
                )
        return tuple(np.asarray(environment[o.name]) for o in program.outputs)

    return run


def _symbols(expression: sp.Expr) -> list[sp.Symbol]:
    return sorted(expression.free_symbols, key=str)


def iterate(
    rule: UpdateRule,
    gradient: Oracle,
    values: Mapping[str, float],
    start: Mapping[str, Array],
    steps: int,
) -> dict[str, Array]:
    """Carry the rule out: each state's iterates, shape (steps + 1, *state).

    ``values`` gives the step size and the free hyper-parameters by name; ``start`` the states at k
    = 0 (those left out start at zero).
    """
    step = evaluator(rule.program)
    shape = np.shape(start[rule.position.name])
    state = {s.name: np.asarray(start.get(s.name, np.zeros(shape))) for s in rule.states}
    history = {name: [value] for name, value in state.items()}
    for k in range(steps):
        new = step({COUNTER.name: float(k), **values, **state}, gradient)
        state = dict(zip(state, new, strict=True))
        for name, value in state.items():
            history[name].append(value)
    return {name: np.stack(iterates) for name, iterates in history.items()}


def right_hand_side(
    limit: ContinuousLimit, gradient: Oracle, values: Mapping[str, float]
) -> Callable[[float, Sequence[Array]], tuple[Array, ...]]:
    """``(t, states) -> derivatives`` of a limit, for any ODE solver."""
    derivatives = {
        sp.Symbol(f"d{s}_dt", real=True): e
        for s, e in zip(limit.states, limit.equations, strict=True)
    }
    free = sorted(
        set().union(*(e.free_symbols for e in limit.equations)) - {TIME, *limit.states}, key=str
    )
    run = evaluator(lower((TIME, *limit.states, *free), derivatives))

    def rates(t: float, states: Sequence[Array]) -> tuple[Array, ...]:
        named = {s.name: z for s, z in zip(limit.states, states, strict=True)}
        return run({TIME.name: t, **values, **named}, gradient)

    return rates


def observed_order(steps: Sequence[float], errors: Sequence[float]) -> float:
    """The slope of log(error) against log(step) by least squares."""
    slope, _ = np.polyfit(np.log(steps), np.log(errors), 1)
    return float(slope)
