"""Start values that are parameters: arguments of the module, learned or given, and numbers of checks."""

from __future__ import annotations

import pytest
import torch
from fields import TanhField

from optode import SpecError, compile, derive
from optode.spec.reader import parse_spec
from optode.verification.gradients.report import verify_gradients
from optode.verification.orders.report import verify

RULE = """\
name: warm
step_size: s
parameters: {{v0: fixed, d: fixed}}
state: [x, m, v]
update: |
  m[k+1] = m[k] + s*(grad(x[k]) - m[k])
  v[k+1] = v[k] + s*(grad(x[k])**2 - v[k])
  x[k+1] = x[k] - s*m[k]/sqrt(v[k])
start: {{m: {m}, v: {v}}}
model:
  class: WarmNODE
  rename: {{x: h}}
  parameters: {parameters}
"""


def warm(v: str = "v0", m: str = "0", parameters: str = "{}"):
    return parse_spec(RULE.format(v=v, m=m, parameters=parameters))


def by_hand(node, h, m, v, steps):
    """The end of the equations in ``steps`` steps of Kutta's 3/8 rule, which is rk4 here."""

    def rates(t, z):
        f = node.field(torch.tensor(t), z[0])
        return torch.stack([-z[1] / z[2].sqrt(), -f - z[1], f**2 - z[2]])

    z, d = torch.stack([h, m, v]), 1 / steps
    for t in (k * d for k in range(steps)):
        a = rates(t, z)
        b = rates(t + d / 3, z + d / 3 * a)
        c = rates(t + 2 * d / 3, z + d * (b - a / 3))
        z = z + d / 8 * (a + 3 * b + 3 * c + rates(t + d, z + d * (a - b + c)))
    return z[0]


def test_a_start_value_that_nobody_declares_is_an_argument(float64):
    made = compile(warm())
    field, h = TanhField(), torch.randn(3, 4)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'v0'"):
        made(field)
    with pytest.raises(ValueError, match="v0 must be a finite number"):
        made(field, v0=float("nan"))
    node = made(field, method="rk4", options={"steps": 4}, v0=0.3)
    expected = by_hand(node, h, torch.zeros_like(h), torch.full_like(h, 0.3), 4)
    torch.testing.assert_close(node(h), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("per", ["", ", per: feature"])
@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_a_learned_start_value_has_its_gradient(float64, gradient, per):
    made = compile(warm(parameters=f"{{v0: {{init: -0.5, transform: softplus{per}}}}}"))
    features = {"features": 4} if per else {}
    steps = 200 if gradient == "adjoint" else 5
    settings = {"method": "rk4", "options": {"steps": steps}, "gradient": gradient, **features}
    node, h = made(TanhField(), **settings).double(), torch.randn(3, 4)
    node(h).sin().sum().backward()
    found, node.raw_v0.grad = node.raw_v0.grad, None
    v = torch.nn.functional.softplus(node.raw_v0).expand_as(h)
    by_hand(node, h, torch.zeros_like(h), v, steps).sin().sum().backward()
    close = {"rtol": 1e-7, "atol": 1e-8} if gradient == "adjoint" else {"rtol": 1e-11, "atol": 0}
    torch.testing.assert_close(found, node.raw_v0.grad, **close)
    assert found.abs().min() > 1e-3


def test_starts_may_be_formulas_of_parameters_and_numbers():
    spec = warm(v="1e-6 + v0*d", m="-v0*grad(x)", parameters="{d: {value: 2.0}}")
    node = compile(spec)(TanhField(), v0=0.5).double()
    h = torch.ones(2, 4, dtype=torch.float64)
    start = node.initial_states(h)
    torch.testing.assert_close(start.v, torch.full_like(h, 1e-6 + 0.5 * 2.0))
    torch.testing.assert_close(start.m, 0.5 * node.field(torch.tensor(0.0).double(), h))


def test_checks_take_generic_numbers_for_start_values():
    (check,) = verify(warm(), order=0)
    assert check.passes
    assert verify_gradients(warm()).passes


def test_the_start_of_the_position_names_no_parameter():
    text = RULE.replace("v0", "x0").format(v="x0", m="0", parameters="{}")
    with pytest.raises(SpecError, match="`x0` is where `x` starts") as caught:
        derive(parse_spec(text)).stages()
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.source.line_column(found.span.start) == (9, 15)


def test_a_regular_start_has_the_start_values(float64):
    text = """\
name: anchored
step_size: s
state: [x, v, c]
parameters: {c0: fixed}
update: |
  v[k+1] = k/(k + 3)*v[k] - s*grad(x[k])
  c[k+1] = c[k] - sqrt(s)*c[k]
  x[k+1] = x[k] + v[k+1] - sqrt(s)*c[k]
start: {c: c0}
model: {class: AnchoredNODE, rename: {x: h}}
"""
    node = compile(parse_spec(text))(TanhField(), c0=0.7)
    h = torch.randn(3, 4)
    start = node.regular_start(torch.tensor(0.0), h)
    torch.testing.assert_close(start.c, torch.full_like(h, 0.7))
    torch.testing.assert_close(start.v, torch.zeros_like(h))
