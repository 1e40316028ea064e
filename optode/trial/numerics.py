"""Iterate a rule, evaluate its limit, and measure orders of convergence.

Everything is float64 on NumPy arrays and evaluates the equations themselves, so that a check does
not depend on the emitted text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from optode.language.arrays import ONES, array_function, array_modules, in_full, ones, stacked
from optode.language.matrices import MatrixFunction
from optode.language.matrix_arrays import matrix_function
from optode.language.program import Assign, FieldCall, Program, Statement
from optode.language.symbols import COUNTER, TIME, Field, Gradient, Loss, Tangent, symbol
from optode.limit.limit import ContinuousLimit
from optode.rule.rule import UpdateRule

Array: TypeAlias = NDArray[np.float64]
Rates: TypeAlias = Callable[[float, Array], Array]
"""``(t, states) -> derivatives``, both of shape (states, ...)."""


class Oracle(Protocol):
    """A function that stands for an oracle in numbers, such as smooth_field.SmoothField.

    Only a rule that reads the loss needs one that has a ``loss``, whose gradient it is.
    """

    def __call__(self, *points: Array) -> Array:
        """Return ``g(x)``: the arguments of a call without the time."""
        ...

    def derivative(self, points: Sequence[Array], *directions: Sequence[Array]) -> Array:
        """Return the n-th derivative along n directions; called for Jacobian products only."""
        ...

    def __hash__(self) -> int:
        """What is compiled for an oracle is kept for it."""
        ...

    def loss(self, *points: Array) -> Array:
        """Return the number whose gradient ``g(x)`` is; called for rules with a loss only."""
        ...


@lru_cache(maxsize=64)
def evaluator(
    program: Program,
) -> Callable[[Mapping[str, Array | float], Oracle], tuple[Array, ...]]:
    """Return a function ``(values by name, oracle) -> outputs`` that runs the program.

    The oracle is called with the arguments of each call, without the time: ``g(x)``.
    """
    compiled = [_compiled(statement) for statement in program.statements]
    outputs = [output.name for output in program.outputs]
    calls = (s for s in program.statements if isinstance(s, FieldCall))
    losses = {call.name.name for call in calls if call.operator == "loss"}

    def run(values: Mapping[str, Array | float], oracle: Oracle) -> tuple[Array, ...]:
        environment: dict[str, Any] = dict(values)
        if ONES.name not in values:
            environment[ONES.name] = ones(*values.values())
        for name, function, arguments in compiled:
            inputs = [environment[a] for a in arguments]
            if function is None:
                function = oracle if name not in losses else oracle.loss
            environment[name] = function(*inputs)
        return tuple(np.asarray(environment[name]) for name in outputs)

    return run


def _compiled(
    statement: Statement,
) -> tuple[str, Callable[..., Array] | None, tuple[str, ...]]:
    """Return the name a statement assigns, its function (None: the oracle) and the names it reads."""
    if isinstance(statement, FieldCall):
        if statement.operator not in ("", "loss"):
            value, along = matrix_function(statement.operator)
            names = tuple(a.name for a in statement.inputs)
            return statement.name.name, along if statement.directions else value, names
        return statement.name.name, None, tuple(a.name for a in statement.arguments)
    if not isinstance(statement, Assign):
        raise TypeError(f"cannot carry out {statement}")
    value = in_full(statement.value)
    symbols = _symbols(value)
    function = array_function(symbols, value, array_modules(None))
    return statement.name.name, function, tuple(s.name for s in symbols)


def _symbols(expression: sp.Expr) -> list[sp.Symbol]:
    return sorted(expression.free_symbols, key=str)


def numerical(
    inputs: Sequence[sp.Symbol], expressions: Iterable[sp.Expr], oracle: Oracle
) -> Callable[..., list[Array]]:
    """Return a function of the inputs' values that gives those of the expressions.

    Jacobian products are exact: the oracle's own derivatives, not differences.
    """
    return _numerical(tuple(inputs), tuple(expressions), oracle)


@lru_cache(maxsize=256)
def _numerical(
    inputs: tuple[sp.Symbol, ...], expressions: tuple[sp.Expr, ...], oracle: Oracle
) -> Callable[..., list[Array]]:
    functions: dict[str, Callable[..., Array]] = {}
    opened = [in_full(_in_floats(_with_oracle(e, oracle, functions))) for e in expressions]
    run: Callable[..., list[Array]] = array_function(
        (ONES, *inputs), opened, array_modules(None, functions), shared=True
    )
    if not any(e.has(ONES) for e in opened):
        return lambda *values: run(1.0, *values)
    return lambda *values: run(ones(*values), *values)


def _in_floats(expression: sp.Expr) -> sp.Expr:
    """Return the expression with integers that NumPy would keep as objects of Python in floats."""
    large = (n for n in expression.atoms(sp.Rational) if max(abs(n.p), n.q) > _LARGEST_INTEGER)
    return expression.xreplace({n: sp.Float(n) for n in large})


_LARGEST_INTEGER = 2**53


def value_of(expression: sp.Expr, values: Mapping[str, Array | float], oracle: Oracle) -> Array:
    """Return the value of an expression whose symbols are given by name."""
    arrays = {symbol(name) for name, value in values.items() if np.ndim(value)}
    symbols = sorted(expression.free_symbols | arrays, key=str)
    (value,) = numerical(symbols, [expression], oracle)(*(values[s.name] for s in symbols))
    return np.asarray(value)


def _with_oracle(
    expression: sp.Expr, oracle: Oracle, functions: dict[str, Callable[..., Array]]
) -> sp.Expr:
    """Return the expression with calls of the oracle and its derivatives as functions of flat arguments."""
    is_tangent = isinstance(expression, Tangent)
    call, *directions = expression.args if is_tangent else (expression,)
    if isinstance(call, Loss):
        functions["loss_value"] = oracle.loss
        return sp.Function("loss_value", real=True)(_with_oracle(call.args[0], oracle, functions))
    if isinstance(call, MatrixFunction):
        name = str(call.args[0])
        if len(directions) > 1:
            raise NotImplementedError(f"second derivatives of {name} are not known")
        functions[name], functions[f"{name}_along"] = matrix_function(name)
        flat = [_with_oracle(a, oracle, functions) for a in (*call.points, *directions)]
        return sp.Function(f"{name}_along" if directions else name, real=True)(*flat)
    if not isinstance(call, (Gradient, Field)):
        inner = [_with_oracle(a, oracle, functions) for a in expression.args]
        return expression.func(*inner) if inner else expression
    points = call.args[1:] if isinstance(call, Field) else call.args
    number = len(points)
    name = f"oracle_{number}_{len(directions)}"
    functions[name] = _flat(oracle, number) if directions else oracle
    flat = [*points, *(u for d in directions for u in (d if isinstance(d, sp.Tuple) else (d,)))]
    return sp.Function(name, real=True)(*(_with_oracle(a, oracle, functions) for a in flat))


def _flat(oracle: Oracle, number: int) -> Callable[..., Array]:
    """Return the derivative of an oracle of ``number`` arguments as a function of points and directions."""

    def derivative(*vectors: Array) -> Array:
        groups = [vectors[i : i + number] for i in range(0, len(vectors), number)]
        return oracle.derivative(*groups)

    return derivative


def iterate(
    rule: UpdateRule,
    gradient: Oracle,
    values: Mapping[str, Array | float],
    start: Mapping[str, Array],
    steps: int,
) -> dict[str, Array]:
    """Run the rule: return each state's iterates, shape (steps + 1, *state).

    ``values`` gives the step size and the free hyper-parameters by name; ``start`` the states at k
    = 0 (those left out start at zero).
    """
    step = evaluator(rule.program)
    shape = np.shape(start[rule.position.name])
    state = {s.name: np.asarray(start.get(s.name, np.zeros(shape))) for s in rule.states}
    history = {name: [value] for name, value in state.items()}
    for k in range(steps):
        known = {COUNTER.name: float(k), ONES.name: np.ones(shape), **values, **state}
        new = step(known, gradient)
        state = dict(zip(state, new, strict=True))
        for name, value in state.items():
            history[name].append(value)
    return {name: np.stack(iterates) for name, iterates in history.items()}


def right_hand_side(
    limit: ContinuousLimit, gradient: Oracle, values: Mapping[str, Array | float]
) -> Rates:
    """Return ``(t, states) -> derivatives`` of a limit, for any ODE solver.

    ``values`` gives the free hyper-parameters by name and, for a next order, the step size.
    """
    free = set().union(*(e.free_symbols for e in limit.equations)) - {TIME, *limit.states}
    named = sorted(free, key=str)
    run = numerical((TIME, *limit.states, *named), limit.equations, gradient)
    constants = [values[s.name] for s in named]

    def rates(t: float, states: Array) -> Array:
        return np.asarray(stacked(run(t, *states, *constants), states.shape[1:]))

    return rates


def observed_order(steps: Sequence[float], errors: Sequence[float]) -> float:
    """Return the slope of log(error) against log(step) by least squares."""
    slope, _ = np.polyfit(np.log(steps), np.log(errors), 1)
    return float(slope)
