"""Starts in terms of each other, of a rule and of a model: in any order, but in no circle."""

import numpy as np
import pytest
import sympy as sp
import torch

from optode.compiler import compile, derive
from optode.diagnostics import SpecError
from optode.language.symbols import Gradient, symbol
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

SPEC = """\
name: chained
step_size: lr
parameters: {{a: fixed}}
state: [x, m, v]
start: {{{start}}}
update: |
  m[k+1] = (1 - a*lr)*m[k] + a*lr*grad(x[k])
  v[k+1] = max(v[k], m[k]**2)
  x[k+1] = x[k] - lr*m[k]/(1 + v[k])
model:
  class: ChainedNODE
  parameters: {{a: {{value: 2.0}}}}
  initial: {{{initial}}}
"""


def chained(start="", initial=""):
    return parse_spec(SPEC.format(start=start, initial=initial), "chained.yaml")


@pytest.mark.parametrize("start", ["m: 3*v, v: abs(x) + 1", "v: abs(x) + 1, m: 3*v"])
def test_a_rule_starts_in_any_order(start):
    spec = chained(start)
    x0 = symbol("x0")
    starts = dict(zip(map(str, derive(spec).limit.states), derive(spec).limit.initial, strict=True))
    assert sp.expand(starts["m"]) == 3 * sp.Abs(x0) + 3
    assert derive(spec).check_limit() == ""
    (check,) = verify(spec)
    assert check.limit is not None
    assert check.limit.passes


def test_a_state_that_is_not_said_starts_at_zero():
    assert derive(chained("v: m + 2")).limit.initial[2] == 2
    assert derive(chained("m: v + grad(x)")).limit.initial[1] == Gradient(symbol("x0"))


@pytest.mark.parametrize(
    ("initial", "m", "v"),
    [
        ("m: 3*v, v: 2", 6.0, 2.0),
        ("v: 2*m, m: 5", 5.0, 10.0),
        ("m: v, v: 'f(t, x)**2'", 0.25, 0.25),
        ("m: v + 1, v: zero", 1.0, 0.0),
    ],
)
def test_a_model_starts_in_any_order(initial, m, v):
    node = compile(chained("m: 7", initial))(lambda t, x: 0 * x - 0.5)
    states = node.initial_states(torch.zeros(2, 3))
    assert np.allclose(states.m, m)
    assert np.allclose(states.v, v)


@pytest.mark.parametrize("circle", ["m: v, v: m", "m: m + 1"])
def test_a_circle_is_refused(circle):
    for spec in (chained(start=circle), chained(initial=circle)):
        with pytest.raises(SpecError, match="given by itself") as raised:
            _ = derive(spec).model
        (diagnostic,) = raised.value.diagnostics
        assert diagnostic.code == "E309"
        assert diagnostic.span is not None
