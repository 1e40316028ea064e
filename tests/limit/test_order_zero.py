"""Rules whose terms of order 0 cancel together, not one by one, and positions made of other states.

Each also runs as it is written, in 32 and 512 steps, beside the derived equations.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.effort import is_zero
from optode.language.symbols import TIME, Gradient, dot, symbol, total
from optode.limit.scaled_rule import ScaledRule
from optode.limit.scaling import Scaling
from optode.spec.reader import parse_spec

t = TIME
x, z, b, c = map(symbol, ("x", "z", "b", "c"))
g = Gradient(x)


def spec(states, update, further=""):
    return parse_spec(
        f"name: small\nstep_size: s\n{further}state: [{states}]\nupdate: |\n"
        + "".join(f"  {line}\n" for line in update),
        "small.yaml",
    )


RESTING = {
    "a mirror step by exp and log": (
        [
            "y = log((x[k] + sqrt(x[k]**2 + b**2))/b) - s*grad(x[k])",
            "x[k+1] = b*(exp(y) - exp(-y))/2",
        ],
        "parameters: {b: fixed}\n",
        -sp.sqrt(x**2 + b**2) * g,
    ),
    "multiplicative steps that keep a sum": (
        ["y = x[k]*exp(-s*grad(x[k]))", "x[k+1] = y*total(x[k])/total(y)"],
        "",
        -x * g + x * total(x * g) / total(x),
    ),
    "steps that keep a norm": (
        ["y = x[k] - s*grad(x[k])", "x[k+1] = y*norm(x[k])/norm(y)"],
        "",
        -g + x * dot(x, g) / dot(x, x),
    ),
    "a mirror step by a power and its root": (
        ["y = sqrt(x[k]**2 + c) - s*grad(x[k])", "x[k+1] = x[k] + y**2 - x[k]**2 - c"],
        "parameters: {c: fixed}\n",
        -2 * sp.sqrt(x**2 + c) * g,
    ),
}


@pytest.mark.parametrize("kind", RESTING)
def test_positions_that_rest_at_step_size_zero(kind):
    update, further, expected = RESTING[kind]
    derivation = derive(spec("x", update, further))
    (found,) = derivation.limit.equations
    assert is_zero(found - expected), found
    assert derivation.limit.step == sp.Symbol("s", positive=True)
    assert derivation.check_limit() == ""


def test_a_position_that_does_not_rest_is_refused():
    update = ["y = x[k]*exp(-s*grad(x[k]))", "x[k+1] = 2*y*total(x[k])/total(y)"]
    with pytest.raises(SpecError, match="of order s"):
        _ = derive(spec("x", update)).limit


COUPLED = {
    "a state that is read one step later by nothing": [
        "y[k+1] = x[k] - s*grad(x[k])",
        "x[k+1] = 2/(k + 2)*z[k+1] + k/(k + 2)*y[k+1]",
        "z[k+1] = z[k] - (k + 2)/2*s*grad(x[k])",
    ],
    "one after the other": [
        "tau = 2/(k + 2)",
        "w[k+1] = s*grad(x[k])",
        "y[k+1] = x[k] - w[k+1]",
        "z[k+1] = z[k] - (k + 2)/2*w[k+1]",
        "x[k+1] = tau*z[k+1] + (1 - tau)*y[k+1]",
    ],
}


@pytest.mark.parametrize("kind", COUPLED)
def test_a_position_coupled_to_what_nothing_remembers(kind):
    update = COUPLED[kind]
    states = "x, w, y, z" if "w[k+1]" in " ".join(update) else "x, y, z"
    derivation = derive(spec(states, update, "start: {y: x, z: x}\n"))
    limit = derivation.limit
    assert limit.states == (x, z)
    assert is_zero(limit.equations[0] - 2 * (z - x) / t)
    assert is_zero(limit.equations[1] + t * g / 2)
    assert derivation.check_limit() == ""


FOLLOWED = {
    "its own past": "q[k+1] = q[k] - s*grad(x[k])",
    "a mean with the position": "q[k+1] = 0.3*q[k] + 0.7*x[k] - s*grad(x[k])",
    "a mean that begins with k": "q[k+1] = q[k] + (x[k] - q[k])/sqrt(k + 2) - s*grad(x[k])",
}


@pytest.mark.parametrize("line", FOLLOWED.values(), ids=FOLLOWED)
def test_a_position_that_is_another_state_starts_where_that_does(line):
    with pytest.raises(SpecError, match="its first value is that of `q`") as raised:
        _ = derive(spec("x, q", [line, "x[k+1] = q[k+1]"])).rule
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "E307"
    assert "start: {q: x}" in (diagnostic.hint or "")
    derivation = derive(spec("x, q", [line, "x[k+1] = q[k+1]"], "start: {q: x}\n"))
    assert derivation.limit.states == (x,)
    assert derivation.check_limit() == ""


def test_a_start_that_the_first_step_forgets_may_be_anywhere():
    update = ["q[k+1] = x[k] - s*grad(x[k]) + s*q[k]", "x[k+1] = q[k+1]"]
    derivation = derive(spec("x, q", update))
    assert is_zero(derivation.limit.equations[0] - (x - g))
    assert derivation.check_limit() == ""


@pytest.mark.parametrize("further", ["scaling: {time: s}\n", ""])
def test_a_scaling_is_named_only_where_one_is_declared(further):
    rule = derive(spec("x", ["x[k+1] = x[k] - s*grad(x[k])"], further)).rule
    too_fine = Scaling(Fraction(1, 2), powers=(Fraction(0),), rates=(Fraction(1),))
    with pytest.raises(SpecError, match="of order") as raised:
        ScaledRule(rule, too_fine).increments(0)
    (message,) = (diagnostic.message for diagnostic in raised.value.diagnostics)
    assert ("under the declared scaling" in message) == bool(further)
