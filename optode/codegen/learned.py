"""Write how a module's parameters are set, by its constructor, and read, by properties."""

from __future__ import annotations

from functools import partial

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.expressions import TorchPrinter, float_text
from optode.codegen.layout import BODY, call_lines, flat, indented
from optode.language.functions import transformed
from optode.language.symbols import symbol
from optode.model.model import Initial, LearnedParameter, NeuralODE


def init_lines(model: NeuralODE, features: bool) -> list[str]:
    """Return the constructor, where it sets anything, or the span is another than the base class's."""
    span = f"({', '.join(map(float_text, model.span))})"
    layers = list(filter(None, map(feature_layer, model.states, model.initial)))
    learned = [p for p in model.parameters if p.is_learned]
    constants = [p for p in model.parameters if not p.is_learned]
    operators, losses = model.operators, ("loss",) if model.has_loss else ()
    if not (layers or learned or constants or operators) and model.span == (0.0, 1.0):
        return []
    signature = [
        "self",
        "field: Field",
        *(f"{name}: {'Loss' if name in losses else 'Operator'}" for name in operators),
        f"span: tuple[float, float] = {span}",
        'method: str = "dopri5"',
        "*tolerances: float",
        *(["features: int | None = None"] if features else []),
        *(f"{p.symbol}: Value = None" for p in learned),
        *map(_constant_argument, constants),
        *(["learn: Learn = True"] if learned else []),
        "**settings: Any",
    ]
    passed = ["features=features"] if features else []
    start = ["field", "span", "method", "*tolerances", *passed, "**settings"]
    constant_lines = [f'set_constant(self, "{p.symbol}", {p.symbol})' for p in constants]
    return [
        *call_lines("def __init__(", signature, ") -> None:", 4),
        *indented(call_lines("super().__init__(", start, ")", BODY)),
        *indented(
            "set_loss(self, loss)" if name in losses else f'set_operator(self, "{name}", {name})'
            for name in operators
        ),
        *indented(layers),
        *indented(flat(map(_set_learned, learned))),
        *indented(constant_lines),
    ]


def _constant_argument(parameter: LearnedParameter) -> str:
    default = "" if parameter.value is None else f" = {float_text(parameter.value)}"
    return f"{parameter.symbol}: float{default}"


def singular_values(system: AdjointSystem) -> tuple[str, ...]:
    """Return pairs of a learned parameter and an end of its range that is a pole, as text.

    A pole of the equations or of their derivatives.
    """
    integrands = (integrand for _, integrand in system.quadratures)
    expressions = (*system.model.equations, *system.equations, *integrands)
    return tuple(
        f'("{p.symbol}", {float_text(end)})'
        for p in system.model.parameters
        for end in ((0, 1) if p.transform == "sigmoid" else (0,))
        if p.is_learned and any(map(partial(_is_singular, p, end), expressions))
    )


def _is_singular(parameter: LearnedParameter, value: int, expression: sp.Expr) -> bool:
    there = expression.xreplace({parameter.symbol: sp.Integer(value)})
    return bool(there.has(sp.zoo, sp.nan, sp.oo, -sp.oo))


def learned_property(parameter: LearnedParameter) -> dict[str, str]:
    """Return the property that gives a learned parameter its value."""
    name, transform = parameter.symbol.name, _transform(parameter)
    given = ["self", f'"{name}"', *([] if transform == "None" else [transform])]
    through = "The learned value itself" if transform == "None" else f"Learned through raw_{name}"
    return {
        "name": name,
        "value": f"learned_value({', '.join(given)})",
        "meaning": f"{through}.",
    }


def _set_learned(parameter: LearnedParameter) -> list[str]:
    """Return the call that makes the raw value of a learned parameter."""
    name, init = parameter.symbol.name, float_text(parameter.init)
    given = ["self", f'"{name}"', name, _transform(parameter), init, "learn"]
    shape = ["(features,)"] if parameter.per_feature else []
    return call_lines("set_learned(", [*given, *shape], ")", BODY)


def _transform(parameter: LearnedParameter) -> str:
    """PyTorch's function that a raw value goes through: ``torch.sigmoid``."""
    raw = symbol("raw")
    value = transformed(raw, parameter.transform)
    return "None" if value == raw else TorchPrinter().text(value).removesuffix("(raw)")


def feature_layer(state: sp.Symbol, initial: Initial) -> str:
    """Return the line that makes what a state's start is learned with."""
    layers = {
        "linear": "nn.Linear(features, features)",
        "learned": "nn.Parameter(torch.zeros(features))",
    }
    layer = layers.get(initial.kind)
    return f"self.initial_{state} = {layer} if features else None" if layer else ""
