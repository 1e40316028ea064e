"""Signs in a model: their derivative is zero, which is said, and a smooth function takes their place."""

from __future__ import annotations

import pytest
import sympy as sp
import torch
from fields import TanhField

from optode import SpecError, compile, derive
from optode.language.elementwise import step
from optode.language.symbols import symbol
from optode.model.jumps import smoothed
from optode.show.as_json import as_json
from optode.spec.reader import parse_spec

NOTE = (
    "the derivative of {} is zero, and no gradient passes through it; for one, write "
    "`smooth: tanh(x/0.01)` under `model:`"
)
LINE = "smooth: tanh(x/0.01)"


def signed(more: str = "", step: str = "sign(m[k+1])", parameters: str = "a: {value: 1.0}"):
    return parse_spec(f"""\
name: signed
step_size: s
parameters: {{a: fixed}}
state: [x, m]
update: |
  m[k+1] = m[k] + a*s*(grad(x[k]) - m[k])
  x[k+1] = x[k] - s*{step}
model:
  class: SignedNODE
  rename: {{x: h}}
  parameters: {{{parameters}}}
{more}""")


def test_a_sign_is_noted_where_equations_are_shown():
    derivation = derive(signed())
    note = NOTE.format("sign(m)")
    assert derivation.model.notes == (note,)
    assert note in derivation.show("model")
    assert as_json("signed", derivation.stages("model"))["model"]["notes"] == [note]
    docstring = " ".join(compile(signed()).__doc__.split())
    assert f"Note: {note}." in docstring


@pytest.mark.parametrize(
    ("step", "calls"),
    [
        ("where(m[k+1] > 2, m[k+1], 0)", "where(m > 2, 1, 0)"),
        ("sign(grad(x[k]))", "sign(f(t, h))"),
        ("sign(m[k+1])*abs(sign(x[k]))", "sign(h) and sign(m)"),
    ],
)
def test_every_sign_is_named(step, calls):
    assert derive(signed(step=step)).model.notes == (NOTE.format(calls),)


def test_the_line_of_the_note_gives_a_slope(float64):
    assert LINE in NOTE
    derivation = derive(signed(f"  {LINE}\n"))
    assert derivation.model.notes == ()
    assert str(derivation.limit.equations[0]) == "-sign(m)"
    states = tuple(0.01 * torch.randn(3, 4) for _ in range(2))
    field, t = TanhField(), torch.tensor(0.3)
    smooth, jumping = (compile(spec)(field).double() for spec in (signed(f"  {LINE}\n"), signed()))
    torch.testing.assert_close(smooth.vector_field(t, states)[0], -torch.tanh(states[1] / 0.01))
    costates = (torch.ones(3, 4), torch.zeros(3, 4))
    assert torch.all(jumping.adjoint_field(t, states, costates)[1] == 0)
    slope = (1 - torch.tanh(states[1] / 0.01) ** 2) / 0.01
    torch.testing.assert_close(smooth.adjoint_field(t, states, costates)[1], slope)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_a_smooth_sign_may_have_learned_parameters(float64, gradient):
    spec = signed(
        "  smooth: tanh(x/eps)\n",
        parameters="a: {value: 1.0}, eps: {init: 0.0, transform: softplus}",
    )
    steps = {"method": "rk4", "options": {"steps": 40}}
    node, h = compile(spec)(TanhField(), gradient=gradient, **steps).double(), torch.randn(3, 4)
    found = []
    for node.gradient in (gradient, "autograd"):
        node.zero_grad()
        node(h).sin().sum().backward()
        found.append(node.raw_eps.grad)
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-9)
    assert found[0].abs() > 1e-4


def test_what_smooth_cannot_be():
    with pytest.raises(SpecError, match="E505: no equation of the model has a sign") as caught:
        _ = derive(signed("  smooth: tanh(x)\n", step="m[k+1]")).model
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.source.line_column(found.span.start)[0] == 12
    with pytest.raises(SpecError, match="E203: unknown name `h`"):
        _ = derive(signed("  smooth: tanh(x/h)\n")).model


def test_steps_and_nested_signs_are_smoothed_with_it():
    u, x = symbol("u"), symbol("x")
    assert smoothed(step(u), sp.tanh(x)) == (1 + sp.tanh(u)) / 2
    nested = sp.sign(u - sp.sign(u) / 2)
    assert smoothed(nested, sp.tanh(x)) == sp.tanh(u - sp.tanh(u) / 2)


@pytest.mark.parametrize("point", [(0.5, 0.3), (0.5, -0.3), (-0.5, 0.3), (-0.5, -0.3)])
@pytest.mark.parametrize(
    "condition", ["m[k] > 0", "m[k] > 0 and x[k] > 0", "not (m[k] > 0 or x[k] > 0)"]
)
def test_a_choice_becomes_the_weighed_mean_of_its_branches(condition, point):
    h, m = symbol("h"), symbol("m")
    sharp, smooth = (
        derive(signed(more, step=f"where({condition}, m[k], x[k]**2)")).model.equations[0]
        for more in ("", "  smooth: tanh(x/0.001)")
    )
    assert not smooth.has(step)
    values = {h: sp.Float(point[0]), m: sp.Float(point[1])}
    assert abs(smooth.xreplace(values).evalf() - sharp.xreplace(values).evalf()) < 1e-12
