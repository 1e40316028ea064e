"""Names that a spec may not use, and that every other name makes a module that works."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from optode.codegen import module
from optode.compiler import compile, derive
from optode.diagnostics import SpecError
from optode.runtime import FeatureNode, Node
from optode.spec.names import ATTRIBUTES, IMPORTED, LOCALS, MODULE_ATTRIBUTES, TUPLE_ATTRIBUTES
from optode.spec.reader import parse_spec

GENERATED = sorted(Path("generated").glob("[a-z]*.py"))
EMITTED = ("heavy_ball", "adam", "adam_guarded", "amsgrad", "lars", "nesterov", "sam")
BASES = (Node, FeatureNode)

HEAVY_BALL = """
name: heavy_ball
state: [STATE, m]
ode: |
  STATE' = m
  m' = f(t, STATE) - PARAMETER*m
model:
  class: CLASS
  parameters: {PARAMETER: {init: 0.5, transform: sigmoid}}
  initial: {m: "PARAMETER*f(t, STATE)"}
"""
ADAM = """
name: adam
state: [h, m, STATE]
ode: |
  h' = -m/(sqrt(STATE) + PARAMETER)
  m' = -0.5*f(t, h) - 0.5*m
  STATE' = beta*f(t, h)**2 - beta*STATE
model:
  class: CLASS
  parameters: {PARAMETER: {value: 0.125}, beta: {init: 0.5}}
  initial: {m: zero, STATE: 1}
"""
USUAL = {"STATE": "h0", "PARAMETER": "zeta", "CLASS": "AnyNODE"}


class States(NamedTuple):
    h: Tensor
    m: Tensor


def field(t, h):
    return torch.sin(h)


def spec_with(text, **names):
    for place, name in (USUAL | names).items():
        text = re.sub(rf"\b{place}\b", name, text)
    return parse_spec(text)


def numbers(spec) -> list[float]:
    """What the module of a spec computes: rates, pullbacks, starts, a solve."""
    made = compile(spec)
    node = made(field, method="interpolation3", options={"steps": 2}).double()
    t = torch.tensor(0.25, dtype=torch.float64)
    states = tuple(torch.tensor([[0.5 + 0.25 * i]], dtype=torch.float64)
                   for i, _ in enumerate(node.state_names))  # fmt: skip
    rates, pull = node.linearize(t, states)
    found = [*node.vector_field(t, states), *rates, *(x for group in pull(states) for x in group)]
    found += node.initial_states(states[0])
    node(states[0]).sum().backward()
    return [torch.as_tensor(x).item() for x in (*found, *(p.grad for p in node.parameters()))]


@cache
def usual_numbers(text):
    return numbers(spec_with(text))


def identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for name in ("id", "attr", "arg", "name"):
            if isinstance(getattr(node, name, None), str):
                yield getattr(node, name)


@cache
def emitted() -> frozenset[str]:
    texts = [Path(f"generated/{name}.py").read_text(encoding="utf-8") for name in EMITTED]
    texts += [derive(spec_with(text)).module_text for text in (HEAVY_BALL, ADAM)]
    found = {name for text in texts for name in identifiers(ast.parse(text))}
    return frozenset(name for name in found if name.isidentifier())


def works_or_is_refused(text, **names) -> bool:
    """Whether the names are free; then the module must compute what it does with other names."""
    try:
        spec = spec_with(text, **names)
    except SpecError as error:
        # a name that is taken, or that the spec declares already
        assert {d.code for d in error.diagnostics} & {"E106", "E110", "E117"}, (names, str(error))
        return False
    assert numbers(spec) == usual_numbers(text), names
    return True


def test_there_is_much_to_try():
    assert {"pull", "states", "da_h_dt", "root", "torch", "JT", "learned_value"} <= emitted()
    assert len(emitted()) > 100


@pytest.mark.parametrize(
    ("text", "place"),
    [(HEAVY_BALL, place) for place in USUAL] + [(ADAM, "STATE"), (ADAM, "PARAMETER")],
    ids=lambda item: item if item in USUAL else item.split()[1],
)
def test_every_emitted_identifier_is_refused_or_works(text, place):
    tried = emitted() | set(LOCALS) | set(IMPORTED)
    free = {name for name in tried if works_or_is_refused(text, **{place: name})}
    assert len(free) < len(tried) / 2 or place == "CLASS"
    assert not free & {"torch", "math", "nn"}


@pytest.mark.parametrize("place", ["STATE", "PARAMETER", "CLASS"])
def test_builtins_and_keywords_are_refused(place):
    for name in (*dir(builtins), *keyword.kwlist, *keyword.softkwlist):
        free = works_or_is_refused(HEAVY_BALL, **{place: name})
        assert not free or name in keyword.softkwlist, name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ADAM, {"STATE": "root_v"}),
        (ADAM, {"STATE": "divisor"}),
        (ADAM, {"STATE": "divisor", "PARAMETER": "root_divisor"}),
        (ADAM, {"STATE": "root_v", "PARAMETER": "root_root_v"}),
        (ADAM, {"STATE": "expm1_beta", "PARAMETER": "exponential_beta"}),
        (HEAVY_BALL, {"PARAMETER": "rate"}),
        (HEAVY_BALL, {"PARAMETER": "curvature"}),
        (HEAVY_BALL, {"PARAMETER": "root"}),
        (HEAVY_BALL, {"PARAMETER": "root", "STATE": "rate"}),
        (HEAVY_BALL, {"STATE": "f_at", "PARAMETER": "f1"}),
        (HEAVY_BALL, {"STATE": "given", "PARAMETER": "value"}),
    ],
    ids=lambda item: "-".join(item.values()) if isinstance(item, dict) else "",
)
def test_local_names_make_way_for_the_authors(text, names):
    assert works_or_is_refused(text, **names)


def test_what_the_field_is_called_at_makes_way_too():
    text = (
        "name: ahead\nstate: [h, {0}]\node: |\n  h' = {0}\n  {0}' = f(t, h + {1}*{0}) - {0}\n"
        "model:\n  class: AheadNODE\n  parameters: {{{1}: {{init: 0.5}}}}\n  initial: {{{0}: zero}}\n"
    )
    usual = numbers(parse_spec(text.format("m", "zeta")))
    for names in (("f_at", "zeta"), ("m", "f_at"), ("f_", "f_at_")):
        assert numbers(parse_spec(text.format(*names))) == usual


# The lists are what is needed, no less and no more


def attributes(base) -> set[str]:
    made = type("Made", (base,), {"States": States})
    return {name for name in dir(made(field)) if not name.startswith("_")}


def test_the_attributes_are_those_of_the_base_classes():
    own = {name for name in dir(nn.Module()) if not name.startswith("_")}
    found = set().union(*map(attributes, BASES)) - own
    assert found == ATTRIBUTES
    assert {name for name in own if not name.startswith("register_")} <= MODULE_ATTRIBUTES
    assert {name for name in dir(States) if not name.startswith("_")} - {
        "h",
        "m",
    } == TUPLE_ATTRIBUTES


def test_the_imported_names_are_those_of_the_module():
    listed = {name for names in module._SOURCES.values() for name in names}
    assert {*listed, *module._RUNTIME_NAMES, "math", "torch"} == IMPORTED


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def local_names(function: ast.FunctionDef) -> set[str]:
    stored = {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    inner = {f.name for f in functions(function)} - {function.name}
    return {a.arg for a in ast.walk(function) if isinstance(a, ast.arg)} | stored | inner


def test_every_reserved_local_name_is_one():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in GENERATED]
    found = set().union(*(local_names(f) for tree in trees for f in functions(tree)))
    assert found >= LOCALS
