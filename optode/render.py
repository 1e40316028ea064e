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
from optode.program import (
    Assign,
    FieldCall,
    FieldPullback,
    Program,
    Statement,
    Total,
    lower,
    uses,
)
from optode.resources import templates_directory
from optode.text_printer import to_text
from optode.torch_printer import LINE_LENGTH, TorchPrinter, assignment, float_text

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
        "initial_lines": _initial_lines(model, initial),
        "initial_calls": sum(isinstance(s, FieldCall) for s in initial.statements),
        "forward_lines": _forward_lines(system),
        "backward_lines": _backward_lines(system),
    }
    return context | {"uses_functional": "functional." in repr(context)}


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
    return f"{name} = {value}, learned from {raw} = {float_text(parameter.init)} on"


def _plain(text: str) -> str:
    """A string of the author's on one line, which can end neither a comment nor a docstring."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).replace("\\", "\\\\").replace('"""', r"\"\"\"")


def _wrapped(text: str, indent: int = 4, continuation: str = "") -> tuple[str, ...]:
    width = LINE_LENGTH - indent
    options = {"break_long_words": False, "break_on_hyphens": False}
    return tuple(textwrap.wrap(text, width, subsequent_indent=continuation, **options))


def _flat(lines: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(line for several in lines for line in several)


# What the class is made with


def _settings(model: NeuralODE) -> dict[str, Any]:
    names = tuple(str(state) for state in model.states)
    learned = tuple(p for p in model.parameters if p.is_learned)
    position = f"{names[0]}: Tensor"
    return {
        "class_name": model.class_name,
        "states": names,
        "position": names[0],
        "state_names": _tuple("state_names =", [f'"{name}"' for name in names], 4),
        "span": f"({', '.join(map(float_text, model.span))})",
        "singular_times": _singular_times(model),
        "constants": tuple(
            (p.symbol.name, float_text(p.value)) for p in model.parameters if not p.is_learned
        ),
        "learned": tuple(map(_learned, learned)),
        "learned_names": _tuple("learned_names =", [f'"{p.symbol}"' for p in learned], 4),
        "feature_layers": tuple(map(_feature_layer, model.states, model.initial)),
        "features": any(map(_feature_layer, model.states, model.initial)),
        "initial_signature": _call("def initial_states(", ["self", position], ") -> States:", 4),
    }


def _singular_times(model: NeuralODE) -> str:
    times = [float_text(time) for time in model.singular_times if time.is_number]
    return "".join(_tuple("", times, 0)) if times else ""


def _learned(parameter: LearnedParameter) -> dict[str, Any]:
    raw = symbol(f"self.raw_{parameter.symbol}")
    value = TorchPrinter().text(_TRANSFORMS[parameter.transform](raw))
    meaning = "The learned value itself." if value == raw.name else f"Learned through {raw}."
    return {
        "name": parameter.symbol.name,
        "init": float_text(parameter.init),
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
        return tuple(_call("raise ValueError(", [message], ")", _BODY))
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
    statements = _Statements(model, (*model.states,), program.outputs)
    if TIME in _used(program.statements):
        lines.append(f"t = {position}.new_tensor(self.span[0])")
    lines += statements.parameters(program.statements)
    for statement in program.statements:
        lines += statements.lines(statement)
    return (*lines, *_call("return States(", list(map(str, model.states)), ")", _BODY))


def _forward_lines(system: AdjointSystem) -> tuple[str, ...]:
    model, program = system.model, system.forward
    statements = _Statements(model, model.states, program.outputs)
    lines = [*_unpack(model.states, "states"), *statements.parameters(program.statements)]
    for statement in program.statements:
        lines += statements.lines(statement)
    return (*lines, *_call("return States(", list(map(str, program.outputs)), ")", _BODY))


def _backward_lines(system: AdjointSystem) -> tuple[str, ...]:
    """The forward program and the backward program in one, so that they share the field's calls."""
    model, forward, backward = system.model, system.forward, system.backward
    program = (
        *forward.statements,
        *(s for s in backward.statements if s not in forward.statements),
    )
    rates, n = list(map(str, forward.outputs)), len(system.costates)
    costate_rates = list(map(str, backward.outputs[:n]))
    outputs = (*forward.outputs, *backward.outputs[:n])
    statements = _Statements(model, (*model.states, *system.costates), outputs, program)
    lines = [*_unpack(model.states, "states"), *_unpack(system.costates, "costates")]
    lines += statements.parameters(program)
    for statement in program:
        lines += statements.lines(statement)
    bars = [*map(str, backward.outputs[n:]), f"*{statements.field_bars()}"]
    lines.append("return (")
    for items in (rates, costate_rates):
        lines += [f"    {line}" for line in _call("States(", items, "),", _BODY + 4)]
    lines += [f"    {line}" for line in _tuple("", bars, _BODY + 5)]
    lines[-1] += ","
    return (*lines, ")")


class _Statements:
    """Prints the statements of a program in their order, and knows what kind of value each name has."""

    def __init__(
        self,
        model: NeuralODE,
        shaped: Iterable[sp.Symbol],
        outputs: Iterable[sp.Symbol],
        program: Iterable[Statement] = (),
    ) -> None:
        self.model = model
        self.shaped = set(shaped)
        self.outputs = set(outputs)
        self.floats = {p.symbol for p in model.parameters if not p.is_learned}
        self.pulled = [s.call for s in program if isinstance(s, FieldPullback)]
        self.taken: set[str] = set()

    def parameters(self, program: Iterable[Statement]) -> list[str]:
        """``gamma = self.gamma`` for the parameters that the statements read."""
        used = _used(program)
        return [f"{p.symbol} = self.{p.symbol}" for p in self.model.parameters if p.symbol in used]

    def lines(self, statement: Statement) -> list[str]:
        """The lines of one statement."""
        match statement:
            case Assign():
                return self._assign(statement.name, statement.value)
            case Total():
                return self._total(statement)
            case FieldCall():
                return self._call(statement)
            case FieldPullback():
                return self._pullback(statement)
        raise TypeError(f"no PyTorch text for {statement}")

    def field_bars(self) -> str:
        """What holds the cotangents of the field's parameters, of all its calls together."""
        names = [self._names(call)[1] for call in self.pulled]
        if len(names) == 1:
            return names[0]
        return (
            f"map(sum, zip({', '.join(names)}))" if names else "map(torch.zeros_like, parameters)"
        )

    def _assign(self, name: sp.Symbol, value: sp.Expr) -> list[str]:
        if value.free_symbols & self.shaped:
            self.shaped.add(name)
        elif name in self.outputs:  # a tensor of the states' shape even where it is constant
            return self._constant(name, value)
        elif value.free_symbols <= self.floats:
            self.floats.add(name)
        return self._assignment(name.name, value)

    def _constant(self, name: sp.Symbol, value: sp.Expr) -> list[str]:
        position = self.model.states[0]
        self.shaped.add(name)
        if value == 0:
            return [f"{name} = torch.zeros_like({position})"]
        if value.free_symbols <= self.floats:
            number = TorchPrinter(self.floats).argument(value)
            return _call(f"{name} = torch.full_like(", [str(position), number], ")", _BODY)
        return self._assignment(name.name, symbol(f"torch.zeros_like({position})") + value)

    def _assignment(self, name: str, value: sp.Expr) -> list[str]:
        lines = assignment(name, value, TorchPrinter(self.floats), _BODY, self.taken)
        self.taken |= {line.split(" = ")[0] for line in lines if " = " in line}
        return lines

    def _total(self, statement: Total) -> list[str]:
        name, value = statement.name, statement.value
        if value == 0:
            return [f"{name} = torch.zeros(())"]
        text = f"{name} = torch.sum({TorchPrinter(self.floats).text(value)})"
        if len(text) <= LINE_LENGTH - _BODY:
            return [text]
        density = f"{name}_density"
        return [*self._assignment(density, value), f"{name} = torch.sum({density})"]

    def _call(self, call: FieldCall) -> list[str]:
        self.shaped.add(call.name)
        arguments = [str(call.time), *map(str, call.arguments)]
        if call in self.pulled:
            target = f"{call.name}, {self._names(call)[0]}"
            return _call(f"{target} = self._linearize(", arguments, ")", _BODY)
        return _call(f"{call.name} = self._evaluate(", arguments, ")", _BODY)

    def _pullback(self, statement: FieldPullback) -> list[str]:
        self.shaped.update(statement.names)
        leaves, bars = self._names(statement.call)
        arguments = [str(statement.call.name), f"{leaves} + parameters", str(statement.cotangent)]
        targets = ", ".join([*map(str, statement.names), f"*{bars}"])
        return _call(f"{targets} = _vjp(", arguments, ")", _BODY)

    def _names(self, call: FieldCall) -> tuple[str, str]:
        if len(self.pulled) == 1:
            return "leaves", "field_bars"
        return f"{call.name}_leaves", f"{call.name}_bars"


def _used(program: Iterable[Statement]) -> set[sp.Symbol]:
    return set().union(*map(uses, program))


# Lines that ruff format leaves alone


def _unpack(names: Sequence[sp.Symbol], source: str) -> list[str]:
    line = f"{', '.join(map(str, names))} = {source}"
    if len(names) > 1 and len(line) <= LINE_LENGTH - _BODY:
        return [line]
    lines = _tuple("", list(map(str, names)), _BODY + len(source))
    return [*lines[:-1], f"{lines[-1]} = {source}"]


def _tuple(prefix: str, items: Sequence[str], indent: int) -> list[str]:
    """``prefix (a, b)``, on one line or one item a line."""
    start = f"{prefix} (" if prefix else "("
    line = f"{start}{', '.join(items)}{',' if len(items) == 1 else ''})"
    if len(line) <= LINE_LENGTH - indent or not items:
        return [line]
    return [start, *(f"    {item}," for item in items), ")"]


def _call(start: str, items: Sequence[str], end: str, indent: int) -> list[str]:
    """``start a, b end`` on one line, else the items on a line of their own, else on one each."""
    inner = ", ".join(items)
    if len(f"{start}{inner}{end}") <= LINE_LENGTH - indent:
        return [f"{start}{inner}{end}"]
    if len(inner) <= LINE_LENGTH - indent - 4:
        return [start, f"    {inner}", end]
    return [start, *(f"    {item}," for item in items), end]
