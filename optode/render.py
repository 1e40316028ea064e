"""The adjoint system as the text of a PyTorch module, through the Jinja templates.

The templates hold the structure of the file, this module the text that depends on the model: every
value that reaches a template is a line, or a tuple of lines, that ``ruff format`` would leave alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import sympy as sp
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from optode.adjoint import AdjointSystem
from optode.model import Initial, LearnedParameter, NeuralODE
from optode.notation import TIME, sigmoid, softplus, symbol
from optode.program import Assign, FieldCall, FieldPullback, Program, Statement, Total, lower
from optode.resources import templates_directory
from optode.text_printer import to_text
from optode.torch_printer import LINE_LENGTH, TorchPrinter, assignment

_BODY = 8  # the indentation of a method's statements
_TRANSFORMS: dict[str, Any] = {
    "none": lambda raw: raw,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "exp": sp.exp,
}


def render(system: AdjointSystem, *, spec_name: str, sha256: str, version: str) -> str:
    """The text of the module: deterministic, and byte-equal to ``ruff format`` of itself."""
    environment = Environment(
        loader=FileSystemLoader(templates_directory()),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    source = {"spec_name": _plain(spec_name), "sha256": sha256, "version": version}
    return environment.get_template("module.py.jinja").render(**source, **_context(system))


def _context(system: AdjointSystem) -> dict[str, Any]:
    model = system.model
    initial = _initial_program(model)
    context = {
        **_documentation(system),
        **_settings(model),
        "states": tuple(map(str, model.states)),
        "position": str(model.states[0]),
        "initial_signature": bracketed(
            "def initial_states(", ["self", f"{model.states[0]}: Tensor"], ") -> States:", 4
        ),
        "initial_lines": tuple(_initial_lines(model, initial)),
        "initial_calls": sum(isinstance(s, FieldCall) for s in initial.statements),
        "forward_lines": tuple(_forward_lines(system)),
        "backward_lines": tuple(_backward_lines(system)),
    }
    text = repr(context)
    return context | {
        "uses_functional": "functional." in text,
        "features": any(i.kind in ("learned", "linear") for i in model.initial),
    }


# Documentation


def _documentation(system: AdjointSystem) -> dict[str, Any]:
    model = system.model
    several = len(model.field_arguments) > 1
    costates = [f"{a} = dL/d{z}" for a, z in zip(system.costates, model.states, strict=True)]
    example = costates[0] if len(costates) == 1 else f"{costates[0]} and so on"
    return {
        "title": _wrap(f'"""{model.class_name}: {_plain(model.title)}', ""),
        "equations": _derivatives(model.states, model.equations),
        "adjoint_equations": _derivatives(system.costates, system.equations),
        "costates": example,
        "transposed": "JT_z(c)" if several else "JT(c)",
        "respect": " in its argument z" if several else "",
        "references": _flat(_wrap(_plain(r), "    ") for r in model.references),
        "initial_values": tuple(map(_initial_text, model.states, model.initial)),
        "parameter_values": tuple(map(_parameter_text, model.parameters)),
    }


def _derivatives(names: Iterable[sp.Symbol], values: Iterable[sp.Expr]) -> tuple[str, ...]:
    pairs = zip(names, values, strict=True)
    return _flat(_wrap(f"{name}' = {to_text(value)}", "    ", 2 * 4) for name, value in pairs)


def _initial_text(state: sp.Symbol, initial: Initial) -> str:
    meaning = {
        "zero": f"{state} = 0",
        "given": f"{state} is given",
        "learned": f"{state} is learned, one value for each feature",
        "linear": f"{state} is a learned linear function of the features of the first state",
    }
    if initial.expression is None:
        return meaning[initial.kind]
    return f"{state} = {to_text(initial.expression)}"


def _parameter_text(parameter: LearnedParameter) -> str:
    name = parameter.symbol
    if parameter.init is None:
        return f"{name} = {parameter.value!r}"
    return f"{name} = {_transformed(parameter)}, learned from raw_{name} = {parameter.init!r}"


def _transformed(parameter: LearnedParameter) -> str:
    raw = symbol(f"raw_{parameter.symbol}")
    return to_text(_TRANSFORMS[parameter.transform](raw))


def _plain(text: str) -> str:
    """A string of the author's on one line, which cannot end a comment or a docstring."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).replace("\\", "\\\\").replace('"""', r"\"\"\"")
