"""What the structure of a model adds to its module: the parts that its steppers evaluate.

A part is a piece of the equations with the program of its adjoint, by the same transform as the
whole. The force of a damped model is F(t, h). The drift and the kick of a separable one are mean
rates over a sub-step of length d, so that an exact flow is a step of Euler's method with them, and
its way back the reversed step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import sympy as sp

from optode.adjoint.adjoint import adjoint_system
from optode.codegen.expressions import LINE_LENGTH, float_text
from optode.codegen.methods import forward_lines, linear_lines
from optode.codegen.statements import BODY, Statements, call_lines, tuple_lines, unpacking
from optode.language.presentation import present
from optode.language.program import lower
from optode.language.symbols import TIME, symbol
from optode.model.model import LearnedParameter, NeuralODE
from optode.model.structure import LENGTH, START, Damped, Separable, Stepper
from optode.model.tableaux import NYSTROM, RUNGE_KUTTA, SPLITTINGS, Nystrom, RungeKutta, Splitting

_LENGTH, _START, _E = symbol("length"), symbol("start"), symbol("math.e")


def stepper_text(stepper: Stepper) -> dict[str, Any]:
    """The parts, the lines of the methods' coefficients, and the methods that are missing."""
    damped, separable = isinstance(stepper, Damped), isinstance(stepper, Separable)
    needs = {
        " (it needs equations h' = m, m' = -c(t) m + F(t, h))": () if damped else NYSTROM,
        " (it needs equations that separate into exact flows)": () if separable else SPLITTINGS,
    }
    return {
        "damped": damped,
        "separable": separable,
        "parts": _parts(stepper),
        "damping_learned": False,
        **(_undamped_text(stepper) if isinstance(stepper, Damped) else {}),
        "nystrom_lines": _flat(map(_nystrom_lines, NYSTROM.values())),
        "runge_kutta_lines": _flat(map(_runge_kutta_lines, RUNGE_KUTTA.values())),
        "splitting_lines": _flat(map(_splitting_lines, SPLITTINGS.values())),
        "missing_lines": _flat(
            [f'"{name}": "{why}",'] for why, names in needs.items() for name in names
        ),
    }


def _parts(stepper: Stepper) -> tuple[dict[str, Any], ...]:
    """Name, meaning and statements of each."""
    model = stepper.model
    if isinstance(stepper, Damped):
        position = replace(
            model, states=model.states[:1], initial=model.initial[:1], equations=(stepper.force,)
        )
        return (
            _part("force", f"F, of {model.states[1]}' without its damping, at time t.", position),
        )
    if isinstance(stepper, Separable):
        # a number like the fixed parameters, except that the method is called with it
        parameters = (*model.parameters, LearnedParameter(_LENGTH, value=1.0))
        rest = [sp.S.Zero] * len(stepper.kicks)
        rates = (stepper.drift_rate, *(rate for _, rate in stepper.kick_rates))
        drift_rate, *kick_rates = (rate.xreplace({LENGTH: _LENGTH}) for rate in rates)
        drift = replace(model, parameters=parameters, equations=(drift_rate, *rest))
        kick = replace(model, parameters=parameters, equations=(sp.S.Zero, *kick_rates))
        return (
            _part("drift", "The mean rates over length, the other states held.", drift, _LENGTH),
            _part("kick", f"The mean rates over length, {model.states[0]} held.", kick, _LENGTH),
        )
    return ()


def _part(name: str, meaning: str, model: NeuralODE, *given: sp.Symbol) -> dict[str, Any]:
    system = adjoint_system(model)
    own = [f"{number}: float" for number in given]
    common = ["self", "t: Tensor", "states: Tensors", "inputs: Inputs"]
    return {
        "name": name,
        "meaning": meaning,
        "signature": call_lines(f"def _{name}(", [*common, *own], ") -> Tensors:", 4),
        "linear_signature": call_lines(
            f"def _linearize_{name}(",
            [*common, "parameters: Tensors", *own],
            ") -> tuple[Tensors, Callable[[Tensors], Any]]:",
            4,
        ),
        "forward_lines": forward_lines(system, given, ""),
        **linear_lines(system, given, ""),
    }


def _undamped_text(stepper: Damped) -> dict[str, Any]:
    """R, q and c at t of a step that begins at start, and their slopes by learned parameters.

    The three are for numbers and for tensors, the slopes for numbers.
    """
    model = stepper.model
    names = [p.symbol for p in model.parameters if p.is_learned]
    values = {"root": stepper.root, "curvature": stepper.curvature, "damping": stepper.damping}
    slopes = {
        f"{name}_{stem}": present(sp.diff(value, name))
        for name in names
        for stem, value in values.items()
    }
    triples = [f"({', '.join(f'{name}_{stem}' for stem in values)})" for name in names]
    plain = {name: _plain(value) for name, value in values.items()}
    return {
        "undamped_lines": (*_lines(model, plain), f"return {', '.join(values)}"),
        "slopes_lines": (
            *_lines(model, slopes, (TIME, _START, *names)),
            *tuple_lines("return", triples, BODY),
        ),
        "damping_learned": any(slopes.values()),
    }


def _lines(
    model: NeuralODE, values: dict[str, sp.Expr], floats: Iterable[sp.Symbol] = ()
) -> tuple[str, ...]:
    """Assignments to these names."""
    learned = [p.symbol for p in model.parameters if p.is_learned]
    inputs = (TIME, _START, _E, *(p.symbol for p in model.parameters))
    equations = {symbol(name): value.xreplace({START: _START}) for name, value in values.items()}
    program = lower(inputs, equations)
    statements = Statements(model, (), (), program.statements, learned)
    statements.floats |= {*floats}
    used = [name if name in statements.used else symbol("_") for name in learned]
    given = unpacking(used, "learned") if {*used} - {symbol("_")} else []
    return (*given, *statements.parameters(), *statements.block(program.statements))


def _plain(value: sp.Expr) -> sp.Expr:
    """With powers for the functions, which differ between numbers and tensors."""
    value = value.replace(sp.exp, lambda exponent: sp.Pow(_E, exponent))
    return value.replace(
        lambda e: e.is_Pow and e.exp.is_Rational and not e.exp.is_Integer,
        lambda e: sp.Pow(e.base, sp.Float(float(e.exp))),
    )


def _nystrom_lines(table: Nystrom) -> list[str]:
    rows = [[_number(x) for x in row] for row in table.rows]
    weights = [table.positions, table.velocities]
    weights += [table.position_errors, table.velocity_errors] if table.embedded_order else []
    arguments = [
        [str(table.embedded_order + 1)],
        _list_lines(list(map(_number, table.nodes))),
        _list_lines([f"[{', '.join(row)}]" for row in rows]),
        *(_list_lines(list(map(_number, row))) for row in weights),
    ]
    return _entry(table.name, "_Nystrom", arguments)


def _runge_kutta_lines(table: RungeKutta) -> list[str]:
    rows = [_list_lines(list(map(float_text, row)), 4) for row in table.rows]
    indented = [f"    {line}" for row in rows for line in (*row[:-1], f"{row[-1]},")]
    arguments = [
        [str(table.order)],
        _list_lines(list(map(float_text, table.nodes))),
        ["[", *indented, "]"],
        *(_list_lines(list(map(float_text, w))) for w in (table.weights, table.errors)),
    ]
    return _entry(table.name, "_RungeKutta", arguments)


def _splitting_lines(splitting: Splitting) -> list[str]:
    arguments = [
        [str(splitting.order)],
        *(_list_lines(list(map(float_text, w))) for w in (splitting.drifts, splitting.kicks)),
    ]
    return _entry(splitting.name, "_Splitting", arguments)


def _number(value: Fraction) -> str:
    if value.denominator == 1:
        return float_text(float(value))
    return f"{value.numerator} / {value.denominator}"


def _list_lines(items: list[str], deeper: int = 0) -> list[str]:
    """A list as an argument that is indented by 8, or so much deeper."""
    line = f"[{', '.join(items)}]"
    if len(line) <= LINE_LENGTH - BODY - deeper - 1:
        return [line]
    return ["[", *(f"    {item}," for item in items), "]"]


def _entry(name: str, kind: str, arguments: list[list[str]]) -> list[str]:
    """``"name": Kind(arguments),`` of a dictionary, laid out as ``ruff format`` does."""
    start = f'"{name}": {kind}('
    inner = ", ".join(" ".join(lines) for lines in arguments)
    flat = all(len(lines) == 1 for lines in arguments)
    if flat and 4 + len(start) + len(inner) + 2 <= LINE_LENGTH:
        return [f"{start}{inner}),"]
    if flat and len(inner) <= LINE_LENGTH - BODY:
        return [start, f"    {inner}", "),"]
    each = _flat([*(f"    {x}" for x in lines[:-1]), f"    {lines[-1]},"] for lines in arguments)
    return [start, *each, "),"]


def _flat(lines: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(line for several in lines for line in several)
