"""Write the text of a PyTorch module from an adjoint system, through the one Jinja template.

The template holds the structure of the file, this module the text that depends on the model: every
value that reaches the template is a line, or a tuple of lines, that ``ruff format`` would leave
alone.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from typing import Any

import sympy as sp
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.documentation import documentation, plain
from optode.codegen.expressions import float_text
from optode.codegen.following import following_attributes, linear_method
from optode.codegen.layout import (
    BODY,
    call_lines,
    import_lines,
    indented,
    tuple_lines,
)
from optode.codegen.learned import (
    feature_layer,
    init_lines,
    learned_property,
    singular_values,
)
from optode.codegen.methods import equations_method, rests_method, statement_lines
from optode.language.function_names import IN_MODULES, OPERATORS_IN_MODULES
from optode.language.mutual import in_order
from optode.language.program import FieldCall, Program, lower
from optode.language.symbols import TIME, Field, symbol
from optode.model.following import Following
from optode.model.model import NeuralODE
from optode.spec.shipped import templates_directory

RUNTIME = "optode.runtime"
"""What generated modules import, unless they have a copy beside them."""

_SOURCES = {
    "functools": ("partial",),
    "typing": ("Any", "NamedTuple"),
    "torch": ("Tensor", "nn"),
    "torch.nn": ("functional",),
}
_RUNTIME_NAMES = (
    "BoundField", "FeatureNode", "Field", "Gradients", "Inputs", "Learn", "Loss", "MatrixNode",
    "Node", "Operator", "Pull", "Rates", "Rests", "Tensors", "Value", "learned_value", "set_constant",
    "set_learned", "set_loss", "set_operator", *IN_MODULES, *OPERATORS_IN_MODULES,
)  # fmt: skip


def render(
    system: AdjointSystem,
    following: Following,
    *,
    spec_name: str,
    sha256: str,
    version: str,
    runtime: str = RUNTIME,
) -> str:
    """Return the text of the module: deterministic, and byte-equal to ``ruff format`` of itself.

    ``runtime`` is the module that it imports its base class from.
    """
    source = {
        "spec_name": plain(spec_name),
        "sha256": sha256,
        "version": version,
        "runtime": runtime.removeprefix("."),
    }
    template = _environment().get_template("module.py.jinja")
    context = source | _context(system, following)
    text = template.render(**context, imports=())
    return template.render(**context, imports=_imports(text, runtime))


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
    """Return the lines that import what the code reads, in the order of ruff's defaults."""
    nodes = ast.walk(ast.parse(text))
    read = {node.id for node in nodes if isinstance(node, ast.Name)}
    sources = {**_SOURCES, runtime: _RUNTIME_NAMES}
    found = {module: read.intersection(names) for module, names in sources.items()}
    modules = {name: [f"import {name}"] for name in ("math", "torch") if name in read}
    lines = {module: import_lines(module, names) for module, names in found.items() if names}
    standard = [*modules.get("math", []), *lines.get("functools", []), *lines.get("typing", [])]
    is_local = runtime.startswith(".")
    others = ["torch", "torch.nn"] if is_local else [runtime, "torch", "torch.nn"]
    found_lines = [line for module in others for line in lines.get(module, [])]
    local = ["", *lines[runtime]] if is_local else []
    return (*standard, "", *modules.get("torch", []), *found_lines, *local)


def _context(system: AdjointSystem, following: Following) -> dict[str, Any]:
    model = system.model
    initial = _initial_program(model)
    methods = [
        *_initial_method(model, initial),
        *_branch_method(model),
        equations_method(system),
        *linear_method(model, following),
        *rests_method(model, following),
    ]
    features = any(map(feature_layer, model.states, model.initial))
    features |= any(p.per_feature for p in model.parameters)
    return {
        **documentation(system),
        "base": "FeatureNode" if features else "MatrixNode" if model.is_matrix else "Node",
        "states": tuple(map(str, model.states)),
        "class_name": model.class_name,
        "has_ambiguous_names": bool({"l", "O", "I"} & {str(s) for s in _names(model)}),
        "attributes": _attributes(system, initial, following),
        "learned": tuple(learned_property(p) for p in model.parameters if p.is_learned),
        "init_lines": indented(init_lines(model, features)),
        "methods": tuple(indented(lines) for lines in methods),
    }


# What the class is made with


def _names(model: NeuralODE) -> tuple[sp.Symbol, ...]:
    """Return the author's names in the module."""
    return (*model.states, *(p.symbol for p in model.parameters))


def _attributes(system: AdjointSystem, initial: Program, following: Following) -> tuple[str, ...]:
    """Return the lines of the class body before its methods."""
    model = system.model
    fixed = [p for p in model.parameters if not p.is_learned]
    learned = [f'"{p.symbol}"' for p in model.parameters if p.is_learned]
    calls = sum(isinstance(s, FieldCall) and not s.operator for s in initial.statements)
    branch_calls = sum(expression.has(Field) for expression in model.branch) > 0
    lines = ["States = States"]
    if learned:
        lines += tuple_lines("learned_names =", learned, 4)
    if fixed:
        lines += tuple_lines("constant_names =", [f'"{p.symbol}"' for p in fixed], 4)
    if model.operators:
        lines += tuple_lines("operator_names =", [f'"{name}"' for name in model.operators], 4)
    lines += following_attributes(following)
    lines += ["square_only = True"] if len(set(model.sides)) > 1 else []
    lines += map(_matrix_function, model.matrix_functions)
    if poles := singular_values(system):
        lines += tuple_lines("singular_values =", poles, 4)
    if times := _singular_times(model):
        lines.append(f"singular_times = {times}")
    if calls:
        lines.append(f"start_evaluations = {calls}")
    if branch_calls:
        lines.append(f"branch_evaluations = {int(branch_calls)}")
    return tuple(indented(lines))


def _matrix_function(name: str) -> str:
    """Return the class attribute that is a matrix function, such as an inverse root of order 4."""
    function, _, number = name.rpartition("_")
    argument = {"inv_root": "root", "newton_schulz": "steps"}.get(function)
    if argument is None:
        return f"{name} = staticmethod({name})"
    return f"{name} = staticmethod(partial({function}, {argument}={number}))"


def _singular_times(model: NeuralODE) -> str:
    times = [float_text(time) for time in model.singular_times if time.is_number]
    return "".join(tuple_lines("", times, 0)) if times else ""


# The statements of its methods


def _initial_program(model: NeuralODE) -> Program:
    """Return the expressions among the initial values, as functions of the states that start otherwise."""
    starts = dict(zip(model.states, model.initial, strict=True))
    given = [state for state, start in starts.items() if start.expression is None]
    equations = {s: i.expression for s, i in starts.items() if i.expression is not None}
    ordered = {state: equations[state] for state in in_order(equations)}
    return lower((TIME, *given, *(p.symbol for p in model.parameters)), ordered)


def _initial_method(model: NeuralODE, program: Program) -> list[list[str]]:
    """Return ``initial_states``; none where the caller gives all states, as the base class says."""
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
    """Return ``regular_start``: the states on the regular branch of a singular start."""
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
    """Return a method that returns States."""
    signature = call_lines(f"def {name}(", ["self", *given], ") -> States:", 4)
    return [*signature, *indented([f'"""{meaning}"""', *body])]
