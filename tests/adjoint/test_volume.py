"""How flows change volumes: the published traces, and determinants of actual flows by autograd."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import pytest
import sympy as sp
import torch
from fields import TanhField, given_to

from optode import compile as compiled
from optode.adjoint.volume import ELEMENTS, END, START, volume
from optode.calculus.integrals import antiderivative, growth
from optode.compiler import derive
from optode.language.symbols import Field, symbol
from optode.language.text import to_text
from optode.model.model import NeuralODE
from optode.show.as_json import as_json
from optode.spec.reader import parse_spec

TRACES = {
    "heavy_ball": ("-N*gamma", "exp(-N*gamma*(T - t0))"),
    "heavy_ball_undamped": ("0", "1"),
    "generalized_heavy_ball": ("-N*gamma", "exp(-N*gamma*(T - t0))"),
    "hamiltonian_descent": ("-N*gamma", "exp(-N*gamma*(T - t0))"),
    "nesterov": ("-3*N/t", "(t0/T)**(3*N)"),
    "nesterov_generalized": ("-N*r/t", "(t0/T)**(N*r)"),
    "adam": ("-N*(alpha + beta)", "exp(-N*(T - t0)*(alpha + beta))"),
    "gradient_descent": ("tr(J)", None),
    "weight_decay": ("tr(J) - N*decay", None),
    "rmsprop": ("tr(J/(sqrt(v) + eps)) - N*b", None),
    "second_order": ("tr(J_v)", None),
    "exponentiated_gradient": ("sum(f(t, h)) + tr(J*h)", None),
    "fista": ("sum(-3/(2*theta))", None),
}
WITHOUT = ("normalized_descent", "sam", "adamax", "lamb")


def of(name):
    return volume(derive(name).model)


@pytest.mark.parametrize("name", TRACES)
def test_trace_and_determinant(name):
    found, (trace, determinant) = of(name), TRACES[name]
    assert to_text(found.trace) == trace
    assert (found.determinant and to_text(found.determinant)) == determinant


@pytest.mark.parametrize("name", WITHOUT)
def test_nothing_is_said_where_the_diagonal_is_more(name):
    assert of(name) is None
    assert "volume" not in derive(name).show("adjoint")


def test_it_is_shown():
    text = derive("nesterov").show("adjoint")
    assert "  volume, z all states of N elements each\n    tr(dz'/dz)        = -3*N/t\n" in text
    assert "    J_v     = the Jacobian of f with respect to v\n" in derive("second_order").show()
    latex = derive("heavy_ball").show("adjoint", form="latex")
    assert r"\operatorname{tr} \frac{\partial \dot{z}}{\partial z} &= - N \, \gamma" in latex


def test_json():
    entries = as_json("", [derive("adam").adjoint])["adjoint"]["volume"]
    assert entries == {
        "trace": "-N*(alpha + beta)",
        "determinant": "exp(-N*(T - t0)*(alpha + beta))",
    }
    assert as_json("", [derive("sam").adjoint])["adjoint"]["volume"] is None
    assert as_json("", [derive("rmsprop").adjoint])["adjoint"]["volume"]["determinant"] is None


def flow(node, states, start, end, steps=100):
    """The states at the end by the classical Runge-Kutta method, as one vector."""
    shape = (len(node.state_names), 2)

    def rates(t, y):
        return torch.stack(tuple(node.vector_field(t, tuple(y.reshape(shape))))).reshape(-1)

    y, h = states.reshape(-1), (end - start) / steps
    for step in range(steps):
        t = torch.tensor(start + step * h)
        k1 = rates(t, y)
        k2 = rates(t + h / 2, y + h / 2 * k1)
        k3 = rates(t + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + rates(t + h, y + h * k3))
    return y


def determinant(derivation, start, end):
    """Of an actual flow's Jacobian, with the module's parameters by name."""
    node = (made := compiled(derivation))(
        TanhField(2), span=(start, end), **given_to(made)
    ).double()
    states = torch.rand(len(node.state_names), 2) + 0.5
    jacobian = torch.autograd.functional.jacobian(
        lambda y: flow(node, y, start, end), states.reshape(-1), vectorize=True
    )
    return float(torch.linalg.det(jacobian)), {
        symbol(n): getattr(node, n).item() for n in node.learned_names
    }


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "claims.md"
SECTIONS = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
CLOSED = [
    name
    for section in SECTIONS
    if "`det(dz(T)/dz(t0)) = " in section
    for name in re.findall(r"`(\w+)`: ", section.partition("\n")[0])
]
"""The models of which the page of claims, which is kept as it is printed, knows a determinant."""

APART = {
    "amsgrad": "its right-hand side jumps",
    "fista": "its trace has theta, which the page replaces by its solution",
    "ogm": "its trace has theta, which the page replaces by its solution",
}


def test_determinants_are_known() -> None:
    assert {"heavy_ball", "nesterov", "adam", *APART} < {*CLOSED}
    assert len(CLOSED) > 50


@pytest.mark.parametrize("name", [name for name in CLOSED if name not in APART])
def test_determinant_of_a_flow(float64, name):
    derivation = derive(name)
    found, parameters = determinant(derivation, 1.0, 1.4)
    values = {p.symbol: p.value for p in derivation.model.parameters if not p.is_learned}
    ends = {START: 1.0, END: 1.4, ELEMENTS: 2}
    expected = float(volume(derivation.model).determinant.subs({**values, **parameters, **ends}))
    assert found == pytest.approx(expected, rel=1e-8)


def test_trace_of_a_field(float64):
    """``tr(J)`` integrated along the trajectory is the logarithm of the flow's determinant."""
    node = compiled("weight_decay")(TanhField(2)).double()
    start = torch.tensor([0.7, 1.1])
    found = torch.linalg.det(
        torch.autograd.functional.jacobian(lambda y: flow(node, y, 0.0, 0.4), start)
    )
    total, pieces = 0.0, 40
    for piece in range(pieces):  # the midpoint rule
        t = 0.4 * (piece + 0.5) / pieces
        field = partial(node.field, torch.tensor(t))
        jacobian = torch.autograd.functional.jacobian(field, flow(node, start, 0.0, t, 40))
        total += (torch.trace(jacobian) - 2 * node.decay).item() * 0.4 / pieces
    assert math.log(float(found)) == pytest.approx(total, rel=1e-4)


def test_rows_of_the_jacobian_are_multiplied(float64):
    """``tr(J*h)`` is that of diag(h) J."""
    h = torch.tensor([0.7, 1.1])
    field, t = TanhField(2), torch.tensor(0.3)
    node = compiled("exponentiated_gradient")(field).double()
    jacobian = torch.autograd.functional.jacobian(lambda h: field(t, h), h)
    whole = torch.autograd.functional.jacobian(lambda h: node.vector_field(t, (h,))[0], h)
    expected = field(t, h).sum() + torch.trace(torch.diag(h) @ jacobian)
    assert torch.trace(whole).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_lookahead_brings_the_field_on_to_the_diagonal():
    text = "name: ahead\nstate: [h, m]\node: |\n  h' = m\n  m' = f(t, h + b*m) - c*m\n"
    model = "model: {class: Ahead, parameters: {b: {init: 0.1}, c: {init: 0.2}}}\n"
    found = volume(derive(parse_spec(text + model)).model)
    assert to_text(found.trace) == "b*tr(J) - N*c"


def test_two_calls_on_the_diagonal_have_no_one_trace():
    text = "name: two\nstate: [h, v]\node: |\n  h' = f(t, h) + v\n  v' = f(t, v)\n"
    model = derive(parse_spec(text + "model: {class: Two}\n")).model
    assert isinstance(model, NeuralODE)
    assert len({call for e in model.equations for call in e.atoms(Field)}) == 2
    assert volume(model) is None


def test_antiderivatives():
    t, r = symbol("t"), symbol("r")
    assert sp.simplify(antiderivative(r / t + sp.exp(-t)).diff(t) - r / t - sp.exp(-t)) == 0
    assert antiderivative(sp.log(t + 1) / (t + sp.sqrt(t + 1))) is None
    assert antiderivative(sp.Abs(t - 1)) is None
    assert growth(sp.Abs(t - 1), START, END) is None
    assert growth(-r / t - 2, START, END) == (START / END) ** r * sp.exp(-2 * (END - START))
