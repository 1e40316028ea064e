"""Write the text of a PyTorch module from an adjoint system, through the one Jinja template.

The template holds the structure of the file, this module the text that depends on the model: every
value that reaches the template is a line, or a tuple of lines, that ``ruff format`` would leave
alone.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from functools import partial
from typing import Any

import sympy as sp
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.documentation import documentation, plain
from optode.codegen.expressions import TorchPrinter, float_text
from optode.codegen.layout import (
    BODY,
    call_lines,
    dict_lines,
    flat,
    import_lines,
    indented,
    tuple_lines,
)
from optode.codegen.methods import Signature, rates_method, statement_lines
from optode.codegen.parts import base_class, is_settable, part_methods
from optode.language.functions import transformed
from optode.language.program import FieldCall, Program, lower
from optode.language.symbols import TIME, Field, symbol
from optode.model.model import Initial, LearnedParameter, NeuralODE
from optode.model.structure import Stepper
from optode.spec.shipped import templates_directory

RUNTIME = "optode.runtime"
"""What generated modules import, unless they have a copy beside them."""

_SOURCES = {
    "typing": ("Any", "NamedTuple"),
    "torch": ("Tensor", "nn"),
    "torch.nn": ("functional",),
}
_RUNTIME_NAMES = (
    "BoundField", "DampedNode", "Damping", "FeatureNode", "Field", "Gradients", "Inputs", "Learn",
    "Node", "Pull", "SeparableNode", "Tensors", "Value", "dot", "either", "learned_value", "set_constant",
    "set_learned", "total",
)  # fmt: skip


def render(
    system: AdjointSystem,
    stepper: Stepper,
    *,
    spec_name: str,
    sha256: str,
    version: str,
    runtime: str = RUNTIME,
) -> str:
    """The text of the module: deterministic, and byte-equal to ``ruff format`` of itself.

    ``runtime`` is the module that it imports its base class from.
    """
    source = {
        "spec_name": plain(spec_name),
        "sha256": sha256,
        "version": version,
        "runtime": runtime.removeprefix("."),
    }
    template = _environment().get_template("module.py.jinja")
    text = template.render(**source, imports=(), **_context(system, stepper))
    return template.render(**source, imports=_imports(text, runtime), **_context(system, stepper))


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


def _imports(text: str, runtime: str) -> tuple[str, ...]:
    """The lines that import what the code reads, in the order of ruff's defaults."""
    nodes = ast.walk(ast.parse(text))
    read = {node.id for node in nodes if isinstance(node, ast.Name)}
    sources = {**_SOURCES, runtime: _RUNTIME_NAMES}
    found = {module: read.intersection(names) for module, names in sources.items()}
    modules = {name: [f"import {name}"] for name in ("math", "torch") if name in read}
    lines = {module: import_lines(module, names) for module, names in found.items() if names}
    standard = [*modules.get("math", []), *lines.get("typing", [])]
    is_local = runtime.startswith(".")
    others = ["torch", "torch.nn"] if is_local else [runtime, "torch", "torch.nn"]
    found_lines = [line for module in others for line in lines.get(module, [])]
    local = ["", *lines[runtime]] if is_local else []
    return (*standard, "", *modules.get("torch", []), *found_lines, *local)


def _context(system: AdjointSystem, stepper: Stepper) -> dict[str, Any]:
    model = system.model
    initial = _initial_program(model)
    meaning = "The derivatives of the states, and the function that gives the costates'."
    methods = [
        *_initial_method(model, initial),
        *_branch_method(model),
        rates_method(system, Signature("equations", meaning, "States")),
        *part_methods(stepper),
    ]
    features = any(map(_feature_layer, model.states, model.initial))
    features |= any(p.per_feature for p in model.parameters)
    bases = ["FeatureNode"] if features else []
    if not bases or base_class(stepper) != "Node":
        bases.append(base_class(stepper))
    return {
        **documentation(system, stepper),
        "bases": ", ".join(bases),
        "states": tuple(map(str, model.states)),
        "class_name": model.class_name,
        "attributes": _attributes(system, stepper, initial),
        "learned": tuple(_learned(p) for p in model.parameters if p.is_learned),
        "init_lines": indented(_init_lines(stepper, features)),
        "methods": tuple(indented(lines) for lines in methods),
    }


# What the class is made with


def _attributes(system: AdjointSystem, stepper: Stepper, initial: Program) -> tuple[str, ...]:
    """The lines of the class body before its methods."""
    model = stepper.model
    fixed = [p for p in model.parameters if not p.is_learned]
    learned = [f'"{p.symbol}"' for p in model.parameters if p.is_learned]
    calls = sum(isinstance(s, FieldCall) for s in initial.statements)
    branch_calls = sum(expression.has(Field) for expression in model.branch) > 0
    lines = ["States = States"]
    if learned:
        lines += tuple_lines("learned_names =", learned, 4)
    if fixed:
        lines += tuple_lines("constant_names =", [f'"{p.symbol}"' for p in fixed], 4)
    if poles := _singular_values(system):
        lines += dict_lines("singular_values =", poles, 4)
    if times := _singular_times(model):
        lines.append(f"singular_times = {times}")
    if calls:
        lines.append(f"start_evaluations = {calls}")
    if branch_calls:
        lines.append(f"branch_evaluations = {int(branch_calls)}")
    lines += [f"{p.symbol} = {float_text(p.value)}" for p in fixed if not is_settable(p, stepper)]
    return tuple(indented(lines))


def _init_lines(stepper: Stepper, features: bool) -> list[str]:
    """The constructor, where it sets anything, or the span is another than the base class's."""
    model = stepper.model
    span = f"({', '.join(map(float_text, model.span))})"
    layers = list(filter(None, map(_feature_layer, model.states, model.initial)))
    learned = [p for p in model.parameters if p.is_learned]
    constants = [p for p in model.parameters if is_settable(p, stepper)]
    if not (layers or learned or constants) and model.span == (0.0, 1.0):
        return []
    signature = [
        "self",
        "field: Field",
        f"span: tuple[float, float] = {span}",
        'method: str = "dopri5"',
        "*tolerances: float",
        *(["features: int | None = None"] if features else []),
        *(f"{p.symbol}: Value = None" for p in learned),
        *(f"{p.symbol}: float = {float_text(p.value)}" for p in constants),
        *(["learn: Learn = True"] if learned else []),
        "**settings: Any",
    ]
    passed = ["features=features"] if features else []
    start = ["field", "span", "method", "*tolerances", *passed, "**settings"]
    constant_lines = [f'set_constant(self, "{p.symbol}", {p.symbol})' for p in constants]
    return [
        *call_lines("def __init__(", signature, ") -> None:", 4),
        *indented(call_lines("super().__init__(", start, ")", BODY)),
        *indented(layers),
        *indented(flat(map(_set_learned, learned))),
        *indented(constant_lines),
    ]


def _singular_values(system: AdjointSystem) -> dict[str, str]:
    """The ends of learned parameters' ranges where an equation or a gradient has a pole."""
    integrands = (integrand for _, integrand in system.quadratures)
    expressions = (*system.model.equations, *system.equations, *integrands)
    found = {}
    for p in system.model.parameters:
        ends = (0, 1) if p.transform == "sigmoid" else (0,)
        poles = [end for end in ends if any(map(partial(_is_singular, p, end), expressions))]
        if p.is_learned and poles:
            found[p.symbol.name] = tuple_lines("", list(map(float_text, poles)), 0)[0]
    return found


def _is_singular(parameter: LearnedParameter, value: int, expression: sp.Expr) -> bool:
    there = expression.xreplace({parameter.symbol: sp.Integer(value)})
    return bool(there.has(sp.zoo, sp.nan, sp.oo, -sp.oo))


def _singular_times(model: NeuralODE) -> str:
    times = [float_text(time) for time in model.singular_times if time.is_number]
    return "".join(tuple_lines("", times, 0)) if times else ""


def _learned(parameter: LearnedParameter) -> dict[str, str]:
    """The property that gives a learned parameter its value."""
    name, transform = parameter.symbol.name, _transform(parameter)
    given = ["self", f'"{name}"', *([] if transform == "None" else [transform])]
    through = "The learned value itself" if transform == "None" else f"Learned through raw_{name}"
    return {
        "name": name,
        "value": f"learned_value({', '.join(given)})",
        "meaning": f"{through}.",
    }


def _set_learned(parameter: LearnedParameter) -> list[str]:
    """The call that makes the raw value of a learned parameter."""
    name, init = parameter.symbol.name, float_text(parameter.init)
    given = ["self", f'"{name}"', name, _transform(parameter), init, "learn"]
    shape = ["(features,)"] if parameter.per_feature else []
    return call_lines("set_learned(", [*given, *shape], ")", BODY)


def _transform(parameter: LearnedParameter) -> str:
    """PyTorch's function that a raw value goes through: ``torch.sigmoid``."""
    raw = symbol("raw")
    value = transformed(raw, parameter.transform)
    return "None" if value == raw else TorchPrinter().text(value).removesuffix("(raw)")


def _feature_layer(state: sp.Symbol, initial: Initial) -> str:
    """The line that makes what a state's start is learned with."""
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


def _initial_method(model: NeuralODE, program: Program) -> list[list[str]]:
    """``initial_states``; none where the caller gives all states, as the base class says."""
    position, *others = model.states
    if not others or any(initial.kind == "given" for initial in model.initial[1:]):
        return []
    starts = {
        "zero": f"torch.zeros_like({position})",
        "linear": f"self.linear_start(self.initial_{{}}, {position})",
        "learned": f"self.learned_start(self.initial_{{}}, {position})",
    }
    lines = [
        f"{state} = {starts[initial.kind].format(state)}"
        for state, initial in zip(others, model.initial[1:], strict=True)
        if initial.expression is None
    ]
    statements = statement_lines(model, program.statements, model.states, program.outputs)
    calls = any(isinstance(s, FieldCall) for s in program.statements)
    if calls or any(
        TIME in s.value.free_symbols for s in program.statements if hasattr(s, "value")
    ):
        lines.append(f"t = {position}.new_tensor(self.span[0]) if t is None else t")
    lines += ["field = BoundField(self, t, inputs)"] if calls else []
    given = [f"{position}: Tensor", "inputs: Inputs = None", "t: Tensor | None = None"]
    returned = call_lines("return States(", list(map(str, model.states)), ")", BODY)
    meaning = "All states at the start of the span, or at t."
    return [_method("initial_states", given, meaning, [*lines, *statements, *returned])]


def _branch_method(model: NeuralODE) -> list[list[str]]:
    """``regular_start``: the states on the regular branch of a singular start."""
    if not model.branch:
        return []
    position = model.states[0]
    outputs = [symbol(f"{state}_start") for state in model.states]
    inputs = (TIME, position, *(p.symbol for p in model.parameters))
    program = lower(inputs, dict(zip(outputs, model.branch, strict=True)))
    calls = any(isinstance(s, FieldCall) for s in program.statements)
    field = ["field = BoundField(self, t, inputs)"] if calls else []
    lines = statement_lines(model, program.statements, (position,), outputs)
    returned = call_lines("return States(", list(map(str, outputs)), ")", BODY)
    given = ["t: Tensor", f"{position}: Tensor", "inputs: Inputs = None"]
    meaning = "The states soon after the singular start, on the solution regular there."
    return [_method("regular_start", given, meaning, [*field, *lines, *returned])]


def _method(name: str, given: Sequence[str], meaning: str, body: Sequence[str]) -> list[str]:
    """A method that returns States."""
    signature = call_lines(f"def {name}(", ["self", *given], ") -> States:", 4)
    return [*signature, *indented([f'"""{meaning}"""', *body])]
