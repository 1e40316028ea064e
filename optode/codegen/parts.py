"""Write what the structure of a model adds to its module, for the steppers that use it.

A part is a piece of the equations with the program of its adjoint, by the same transform as the
whole. The force of a damped model is F(t, h). The drift and the kick of a separable one are mean
rates over a sub-step of length d, so that an exact flow is a step of Euler's method with them, and
its way back the reversed step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy as sp

from optode.adjoint.adjoint import adjoint_system
from optode.codegen.accurate import accurate_statements
from optode.codegen.layout import BODY, call_lines, indented, tuple_lines
from optode.codegen.methods import Signature, rates_method
from optode.codegen.statements import StatementPrinter, kinds_of
from optode.language.derivative import partial
from optode.language.presentation import present
from optode.language.program import lower
from optode.language.symbols import TIME, Field, symbol
from optode.language.text import to_text
from optode.model.model import LearnedParameter, NeuralODE
from optode.model.structure import LENGTH, START, Damped, Separable, Stepper

_LENGTH, _START = symbol("length"), symbol("t0")


def part_methods(stepper: Stepper) -> tuple[list[str], ...]:
    """Return the methods that a module needs besides its equations, each as lines."""
    if isinstance(stepper, Damped):
        force = [] if _is_network(stepper) else [_force(stepper)]
        slopes = [_slopes(stepper)] if _is_learned(stepper) else []
        return (*force, _damping(stepper), *slopes)
    return _flows(stepper) if isinstance(stepper, Separable) else ()


def base_class(stepper: Stepper) -> str:
    """Return the base class of a module whose model has this structure."""
    names = {Damped: "DampedNode", Separable: "SeparableNode"}
    return names.get(type(stepper), "Node")


def _is_network(stepper: Damped) -> bool:
    """Whether the force is the network alone, as in the base class."""
    return bool(stepper.force == Field(TIME, stepper.model.states[0]))


def _is_learned(stepper: Damped) -> bool:
    names = {p.symbol for p in stepper.model.parameters if p.is_learned}
    return bool(stepper.damping.free_symbols & names)


def _force(stepper: Damped) -> list[str]:
    model = stepper.model
    position = replace(
        model, states=model.states[:1], initial=model.initial[:1], equations=(stepper.force,)
    )
    meaning = f"F, of {model.states[1]}' without its damping, and the function that pulls back."
    return rates_method(adjoint_system(position), Signature("force", meaning))


def _flows(stepper: Separable) -> tuple[list[str], ...]:
    """The drift and the kick: the states that are held have no rate."""
    model = stepper.model
    # a number like the fixed parameters, except that the method is called with it
    parameters = (*model.parameters, LearnedParameter(_LENGTH, value=1.0))
    rates = (stepper.drift_rate, *(rate for _, rate in stepper.kick_rates))
    drift_rate, *kick_rates = (rate.xreplace({LENGTH: _LENGTH}) for rate in rates)
    held = [sp.S.Zero] * len(stepper.kicks)
    drift = replace(model, parameters=parameters, equations=(drift_rate, *held))
    kick = replace(model, parameters=parameters, equations=(sp.S.Zero, *kick_rates))
    return (
        rates_method(
            adjoint_system(drift),
            Signature(
                "drift",
                f"The mean rate of {model.states[0]} over the length, the others held.",
                calls_field=False,
                numbers=(_LENGTH,),
            ),
        ),
        rates_method(
            adjoint_system(kick),
            Signature(
                "kick",
                f"The mean rates over the length, {model.states[0]} held.",
                numbers=(_LENGTH,),
            ),
        ),
    )


# The damping, as numbers


def _damping(stepper: Damped) -> list[str]:
    """R, q and c from t0 to t, in operators alone: for numbers and for tensors."""
    model = stepper.model
    names = [str(p.symbol) for p in model.parameters if p.is_learned]
    values = _values(model, stepper.root, stepper.curvature, stepper.damping)
    given = ["self", "t0: Any", "t: Any", *(f"{name}: Any" for name in names)]
    rate = to_text(stepper.damping)
    lines = call_lines("def damping(", given, ") -> Damping:", 4)
    meaning = f'"""R = exp(int c/2) from t0 to t, q = c**2/4 + c\'/2, and c = {rate}."""'
    if len(meaning) > 80:
        meaning = '"""R = exp(int c/2) from t0 to t, q = c**2/4 + c\'/2, and the damping c."""'
    body = _damping_lines(model, values, operators_only=True)
    made = call_lines("return Damping(", list(values), ")", BODY)
    return [*lines, *indented([meaning, *body, *made])]


def _slopes(stepper: Damped) -> list[str]:
    """The derivatives of the three by every learned parameter, in plain numbers."""
    model = stepper.model
    names = [p.symbol for p in model.parameters if p.is_learned]
    given = ["self", "t0: float", "t: float", *(f"{name}: float" for name in names)]
    lines = call_lines("def damping_slopes(", given, ") -> tuple[Damping, ...]:", 4)
    values: dict[str, sp.Expr] = {}
    made = []
    for name in names:
        root, curvature, rate = (
            present(partial(value, name))
            for value in (stepper.root, stepper.curvature, stepper.damping)
        )
        suffix = f"_{name}" if len(names) > 1 else ""
        found = _values(model, root, curvature, rate, values, suffix)
        values |= found
        made.append(f"Damping({', '.join(found)})")
    body = _damping_lines(model, values, floats=True)
    meaning = '"""The derivatives of R, q and c by each learned parameter."""'
    return [*lines, *indented([meaning, *body, *tuple_lines("return", made, BODY)])]


def _values(
    model: NeuralODE,
    root: sp.Expr,
    curvature: sp.Expr,
    rate: sp.Expr,
    taken: Iterable[str] = (),
    suffix: str = "",
) -> dict[str, sp.Expr]:
    """The three values by local names that no parameter has."""
    parameters = {p.symbol.name for p in model.parameters} | {*taken}
    found = {}
    for stem, value in (("root", root), ("curvature", curvature), ("rate", rate)):
        name = f"{stem}{suffix}"
        while name in parameters:
            name += "_"
        found[name] = value
    return found


def _damping_lines(
    model: NeuralODE,
    values: dict[str, sp.Expr],
    *,
    floats: bool = False,
    operators_only: bool = False,
) -> list[str]:
    """Assignments to these names, from t0, t and the learned parameters."""
    learned = [p.symbol for p in model.parameters if p.is_learned]
    inputs = (TIME, _START, *(p.symbol for p in model.parameters))
    equations = {symbol(name): value.xreplace({START: _START}) for name, value in values.items()}
    program = accurate_statements(model, lower(inputs, equations).statements)
    numbers = (TIME, _START, *learned) if floats else ()
    kinds = kinds_of(model, program, (), (), numbers)
    return StatementPrinter(model, program, kinds, learned, operators_only=operators_only).lines()
