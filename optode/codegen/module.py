"""The adjoint system as the text of a PyTorch module, through the Jinja templates.

The templates hold the structure of the file, this module the text that depends on the model: every
value that reaches a template is a line, or a tuple of lines, that ``ruff format`` would leave
alone.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import sympy as sp
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.expressions import LINE_LENGTH, TorchPrinter, float_text
from optode.codegen.methods import forward_lines, linear_lines
from optode.codegen.parts import stepper_text
from optode.codegen.statements import BODY, Statements, call_lines, tuple_lines
from optode.language.program import FieldCall, Program, lower
from optode.language.symbols import TIME, Field, sigmoid, softplus, symbol
from optode.language.text import to_text
from optode.model.model import Initial, LearnedParameter, NeuralODE
from optode.model.structure import Stepper
from optode.spec.shipped import templates_directory

_TRANSFORMS: dict[str, Any] = {
    "none": lambda raw: raw,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "exp": sp.exp,
}


def render(
    system: AdjointSystem, stepper: Stepper, *, spec_name: str, sha256: str, version: str
) -> str:
    """The text of the module: deterministic, and byte-equal to ``ruff format`` of itself."""
    source = {"spec_name": _plain(spec_name), "sha256": sha256, "version": version}
    return (
        _environment().get_template("module.py.jinja").render(**source, **_context(system, stepper))
    )


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(templates_directory()),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def _context(system: AdjointSystem, stepper: Stepper) -> dict[str, Any]:
    model = system.model
    initial = _initial_program(model)
    code = {
        **_settings(model),
        "initial_lines": _initial_lines(model, initial),
        "initial_calls": sum(isinstance(s, FieldCall) for s in initial.statements),
        "forward_lines": forward_lines(system),
        **linear_lines(system),
        "branch_lines": _branch_lines(model),
        "branch_calls": int(any(expression.has(Field) for expression in model.branch)),
        **stepper_text(stepper),
    }
    text = repr(code)
    uses = {
        "uses_functional": "functional." in text,
        "uses_tangent": "_tangent(" in text,
        "uses_dot": "_dot(" in text,
        "uses_total": "_total(" in text or "_dot(" in text,
    }
    return code | _documentation(system) | uses


# What the class says about itself


def _documentation(system: AdjointSystem) -> dict[str, Any]:
    model = system.model
    pairs = [f"{a} = dL/d{z}" for a, z in zip(system.costates, model.states, strict=True)]
    example = pairs[0] if len(pairs) == 1 else f"{pairs[0]} and so on"
    several = len(model.field_arguments) > 1
    name, argument = ("JT_z(c)", " in z") if several else ("JT(c)", "")
    adjoint = (
        f"The costates, {example}, obey the adjoint system, where {name} is the "
        f"transposed Jacobian of f{argument}, applied to c:"
    )
    return {
        "title": _wrapped(f'"""{model.class_name}: {_plain(model.title)}'.rstrip(": ")),
        "equations": _derivatives(model.states, model.equations),
        "initial_values": tuple(map(_initial_text, model.states, model.initial)),
        "parameter_values": tuple(map(_parameter_text, model.parameters)),
        "adjoint_text": _wrapped(adjoint),
        "adjoint_equations": _derivatives(system.costates, system.equations),
        "references": _flat(_wrapped(_plain(r), 8, "    ") for r in model.references),
    }


def _derivatives(names: Iterable[sp.Symbol], values: Iterable[sp.Expr]) -> tuple[str, ...]:
    pairs = zip(names, values, strict=True)
    return _flat(_wrapped(f"{name}' = {to_text(value)}", 8, "    ") for name, value in pairs)


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


def _parameter_text(parameter: LearnedParameter) -> str:
    name = parameter.symbol
    if parameter.init is None:
        return f"{name} = {float_text(parameter.value)}"
    raw = symbol(f"raw_{name}")
    value = to_text(_TRANSFORMS[parameter.transform](raw))
    each = ", a value for each feature" if parameter.per_feature else ""
    return f"{name} = {value}, learned from {raw} = {float_text(parameter.init)} on{each}"


def _plain(text: str) -> str:
    """A string of the author's on one line, which can end neither a comment nor a docstring."""
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


def _flat(lines: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(line for several in lines for line in several)


# What the class is made with


def _settings(model: NeuralODE) -> dict[str, Any]:
    names = tuple(str(state) for state in model.states)
    fixed = [f'"{p.symbol}"' for p in model.parameters if not p.is_learned]
    learned = tuple(p for p in model.parameters if p.is_learned)
    position = f"{names[0]}: Tensor"
    return {
        "class_name": model.class_name,
        "states": names,
        "position": names[0],
        "state_names": tuple_lines("state_names =", [f'"{name}"' for name in names], 4),
        "span": f"({', '.join(map(float_text, model.span))})",
        "singular_times": _singular_times(model),
        "constant_names": tuple_lines("constant_names =", fixed, 4),
        "constants": tuple(
            (p.symbol.name, float_text(p.value)) for p in model.parameters if not p.is_learned
        ),
        "learned": tuple(map(_learned, learned)),
        "learned_names": tuple_lines("learned_names =", [f'"{p.symbol}"' for p in learned], 4),
        "feature_layers": tuple(map(_feature_layer, model.states, model.initial)),
        "features": any(map(_feature_layer, model.states, model.initial))
        or any(p.per_feature for p in learned),
        "per_feature": ", ".join(str(p.symbol) for p in learned if p.per_feature),
        "initial_signature": _signature("initial_states", position, t="Tensor | None = None"),
        "branch_signature": _signature("regular_start", "t: Tensor", position),
    }


def _signature(name: str, *parameters: str, **others: str) -> list[str]:
    last = ["inputs: Inputs = None", *(f"{other}: {kind}" for other, kind in others.items())]
    return call_lines(f"def {name}(", ["self", *parameters, *last], ") -> States:", 4)


def _singular_times(model: NeuralODE) -> str:
    times = [float_text(time) for time in model.singular_times if time.is_number]
    return "".join(tuple_lines("", times, 0)) if times else ""


def _learned(parameter: LearnedParameter) -> dict[str, Any]:
    raw = symbol(f"self.raw_{parameter.symbol}")
    value = TorchPrinter().text(_TRANSFORMS[parameter.transform](raw))
    meaning = "The learned value itself." if value == raw.name else f"Learned through {raw}."
    init = float_text(parameter.init)
    return {
        "name": parameter.symbol.name,
        "init": f"torch.full((features,), {init})"
        if parameter.per_feature
        else f"torch.tensor({init})",
        "value": value,
        "meaning": meaning.replace("self.", ""),
    }


def _feature_layer(state: sp.Symbol, initial: Initial) -> str:
    layers = {
        "linear": "nn.Linear(features, features)",
        "learned": "nn.Parameter(torch.zeros(features))",
    }
    layer = layers.get(initial.kind)
    return f"self.initial_{state} = {layer} if features else None" if layer else ""


# The statements of its methods


def _initial_program(model: NeuralODE) -> Program:
    """The expressions among the initial values, as functions of the states that start otherwise."""
    starts = dict(zip(model.states, model.initial, strict=True))
    given = [state for state, start in starts.items() if start.expression is None]
    equations = {s: i.expression for s, i in starts.items() if i.expression is not None}
    return lower((TIME, *given, *(p.symbol for p in model.parameters)), equations)


def _initial_lines(model: NeuralODE, program: Program) -> tuple[str, ...]:
    position, *others = model.states
    if any(initial.kind == "given" for initial in model.initial[1:]):
        names = ", ".join(map(str, model.states))
        message = f'"give all states at the start of the span: {names}"'
        return tuple(call_lines("raise ValueError(", [message], ")", BODY))
    starts = {
        "zero": f"torch.zeros_like({position})",
        "linear": f"self._linear_start(self.initial_{{}}, {position})",
        "learned": f"self._learned_start(self.initial_{{}}, {position})",
    }
    lines = [
        f"{state} = {starts[initial.kind].format(state)}"
        for state, initial in zip(others, model.initial[1:], strict=True)
        if initial.expression is None
    ]
    statements = Statements(model, model.states, program.outputs, program.statements)
    if TIME in statements.used:
        lines.append(f"t = {position}.new_tensor(self.span[0]) if t is None else t")
    states = call_lines("return States(", list(map(str, model.states)), ")", BODY)
    return (*lines, *statements.lines(), *states)


def _branch_lines(model: NeuralODE) -> tuple[str, ...]:
    """The states on the regular branch of a singular start, from the position there."""
    if not model.branch:
        return ()
    position = model.states[0]
    outputs = [symbol(f"{state}_start") for state in model.states]
    inputs = (TIME, position, *(p.symbol for p in model.parameters))
    program = lower(inputs, dict(zip(outputs, model.branch, strict=True)))
    statements = Statements(model, (position,), outputs, program.statements)
    states = call_lines("return States(", list(map(str, outputs)), ")", BODY)
    return (*statements.lines(), *states)
