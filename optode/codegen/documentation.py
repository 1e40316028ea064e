"""Write what a module's class says about itself: its equations, adjoint, parameters, references."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.expressions import float_text
from optode.codegen.layout import LINE_LENGTH, flat
from optode.language.functions import transformed
from optode.language.symbols import symbol
from optode.language.text import operator_text, to_text
from optode.model.model import Initial, LearnedParameter, NeuralODE


def documentation(system: AdjointSystem) -> dict[str, Any]:
    """Return the lines of the class docstring, by the names that the template has for them."""
    model = system.model
    return {
        "title": _wrapped(f'"""{plain(model.title) or model.class_name}'),
        "output": _wrapped(_output_text(model)),
        "equations": _derivatives(model.states, model.equations),
        "initial_values": tuple(map(_initial_text, model.states, model.initial)),
        "parameter_title": _parameter_title(model),
        "parameter_values": flat(_wrapped(_parameter_text(p), 8, "    ") for p in model.parameters),
        "adjoint_text": _wrapped(_adjoint_text(system)),
        "adjoint_equations": _adjoint_equations(system),
        "singular": _singular_text(model),
        "notes": flat(_wrapped(f"Note: {plain(note)}.") for note in model.notes),
        "references": flat(_wrapped(plain(r), 8, "    ") for r in model.references),
    }


def _output_text(model: NeuralODE) -> str:
    """What is called in the equations: the network, and operators of the caller's."""
    position = model.states[0]
    shape = " (batch, rows, columns)" if model.is_matrix else ""
    text = f"With a network f whose output has the shape{shape} of {position}"
    if others := [name for name in model.operators if name != "loss" or not model.has_loss]:
        kind = "a function" if len(others) == 1 else "functions"
        names = " and ".join(others)
        text += f", and with {names}, {kind} of one tensor of that shape that the caller gives"
    if model.has_loss:
        text += ", and with loss, a function that the caller gives: called as f is, it returns one "
        text += "number for each sample"
    return f"{text}:"


def _adjoint_text(system: AdjointSystem) -> str:
    pairs = [f"{a} = dL/d{z}" for a, z in zip(system.costates, system.model.states, strict=True)]
    listed = " and ".join([", ".join(pairs[:-1]), pairs[-1]] if len(pairs) > 1 else pairs)
    several = len(system.model.field_arguments) > 1
    name, argument = ("JT_z(c)", " in z") if several else ("JT(c)", "")
    subject = "costates" if len(pairs) > 1 else "costate"
    runs = "run" if len(pairs) > 1 else "runs"
    functions = {name: operator_text(name, "M") for name in system.model.matrix_functions}
    called = {name: name for name in system.model.operators} | functions
    others = "".join(f", JT_{name}(c) that of {text}" for name, text in called.items())
    return (
        f"The {subject} {listed} {runs} backwards in time. {name} is the transposed Jacobian of "
        f"f{argument}, applied to c{others}:"
    )


def _adjoint_equations(system: AdjointSystem) -> tuple[str, ...]:
    """Return the costates' derivatives, and the integrals that are the parameters' gradients."""
    gradients = (
        _wrapped(f"dL/d{name} = int sum({to_text(integrand)}) dt", 8, "    ")
        for name, integrand in system.quadratures
    )
    return (*_derivatives(system.costates, system.equations), *flat(gradients))


def _singular_text(model: NeuralODE) -> tuple[str, ...]:
    """What a span that starts at a pole means."""
    if not model.branch:
        return ()
    text = (
        f"The equations are singular at t = 0. A span that starts there begins from "
        f"{model.states[0]} alone, on the solution that is regular there: its leading terms bridge "
        "the first thousandth of the span."
    )
    return (*_wrapped(text), "")


def _derivatives(names: Iterable[sp.Symbol], values: Iterable[sp.Expr]) -> tuple[str, ...]:
    pairs = zip(names, values, strict=True)
    return flat(_wrapped(f"{name}' = {to_text(value)}", 8, "    ") for name, value in pairs)


def _initial_text(state: sp.Symbol, initial: Initial) -> str:
    if initial.expression is not None:
        return f"{state} = {to_text(initial.expression)}"
    meaning = {
        "zero": "= 0",
        "given": "given by the caller",
        "learned": "learned, one value for each feature",
        "linear": "a learned linear map of the features of the first state",
    }
    return f"{state} {meaning[initial.kind]}"


def _parameter_title(model: NeuralODE) -> str:
    """What the list of parameters is, and that the constructor sets them."""
    if any(p.is_learned for p in model.parameters):
        return "Parameters, set by arguments of these names (learn=False keeps them fixed):"
    return "Parameters, set by arguments of these names:"


def _parameter_text(parameter: LearnedParameter) -> str:
    name = parameter.symbol
    if parameter.required:
        return f"{name}, a number that the caller gives"
    if parameter.value is not None:
        return f"{name} = {float_text(parameter.value)}"
    raw = symbol(f"raw_{name}")
    value = to_text(transformed(raw, parameter.transform))
    each = ", a value for each feature" if parameter.per_feature else ""
    return f"{name} = {value}, learned from {raw} = {float_text(parameter.init)} on{each}"


def plain(text: str) -> str:
    """Return a string of the author's on one line, which can end neither a comment nor a docstring."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).replace("\\", "\\\\").replace('"""', r"\"\"\"")


def _wrapped(text: str, indent: int = 4, continuation: str = "") -> tuple[str, ...]:
    lines = textwrap.wrap(
        text,
        LINE_LENGTH - indent,
        subsequent_indent=continuation,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return tuple(lines)
