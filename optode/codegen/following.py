"""Write how a module's states follow from f: class attributes, and the rates at which they relax."""

from __future__ import annotations

from optode.codegen.accurate import accurate
from optode.codegen.assignment import assignment
from optode.codegen.expressions import TorchPrinter
from optode.codegen.layout import BODY, LINE_LENGTH, flat, indented, tuple_lines
from optode.language.symbols import symbol
from optode.model.following import Following, States
from optode.model.model import NeuralODE


def following_attributes(following: Following) -> list[str]:
    """The class attributes: the layers, and the others where they are not the base class's."""
    lines = _layers(following.layers)
    lines += tuple_lines("held =", _quoted(following.held), 4) if following.held else []
    degree = following.relative_degree
    return [*lines, f"relative_degree = {degree}"] if degree != 1 else lines


def _layers(layers: tuple[States, ...]) -> list[str]:
    """The tuple of tuples of names."""
    groups = [_quoted(layer) for layer in layers]
    lines = tuple_lines("layers =", [" ".join(tuple_lines("", names, 0)) for names in groups], 4)
    inner = (tuple_lines("", names, 8, ",") for names in groups)
    return lines if len(lines) == 1 else [lines[0], *indented(flat(inner)), lines[-1]]


def _quoted(states: States) -> list[str]:
    return [f'"{z}"' for z in states]


def relaxation_method(model: NeuralODE, following: Following) -> list[list[str]]:
    """``relaxation``; none where no state relaxes, as in the base class.

    The time is a tensor of any shape, and a rate may depend on shared parameters alone.
    """
    if not any(following.rates):
        return []
    own = {p.symbol: symbol(f"self.{p.symbol}") for p in model.parameters}
    positive = {own[p.symbol] for p in model.parameters if p.transform != "none"}
    rates = [accurate(rate.xreplace(own), positive) for rate in following.rates]
    fixed = {own[p.symbol] for p in model.parameters if not p.is_learned}
    printer = TorchPrinter(fixed, own.values())
    texts = [printer.argument(rate) for rate in rates]
    lines = []
    for i, state in enumerate(model.states):
        if len(texts[i]) > LINE_LENGTH - BODY - 5:  # no line of its own would hold it
            name = f"{state}_rate"  # no other local variable: parameters are read as attributes
            lines += assignment(name, rates[i], printer, BODY)
            texts[i] = name
    given = "def relaxation(self, t: Tensor) -> Rates:"
    body = [_meaning(model.states), *lines, *_returned(texts)]
    return [[given, *indented(body)]]


def _returned(texts: list[str]) -> list[str]:
    """``return a, b``, in parentheses where it is one value, or too long for a line."""
    line = f"return {', '.join(texts)}"
    if len(texts) > 1 and len(line) <= LINE_LENGTH - BODY:
        return [line]
    return tuple_lines("return", texts, BODY)


def _meaning(states: States) -> str:
    *first, last = map(str, states)
    text = f'"""The rate at which {last} relaxes."""'
    if first:
        text = f'"""The rates at which {", ".join(first)} and {last} relax."""'
    return text if len(text) <= LINE_LENGTH - BODY else '"""The rates at which the states relax."""'
