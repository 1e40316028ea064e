"""Kinks and jumps that lie exactly where the fast states settle: a stored gradient beside the new one."""

import pytest
import sympy as sp

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.elementwise import relu
from optode.language.symbols import Gradient, Tangent, dot, symbol
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

x = symbol("x")
g = Gradient(x)
Jg = Tangent(g, g)

STORED = (
    "name: stored\nstep_size: lr\nstate: [x, gp]\nstart: {{gp: grad(x)}}\nupdate: |\n"
    "  gp[k+1] = grad(x[k])\n  x[k+1] = x[k] - lr*({})\n"
)

# gp - g(x) = lr*Jg + ..., so that the terms of next order are those of F(gp - g) and -Jg/2
BENT = {
    "(1 + abs(gp[k] - grad(x[k])))*grad(x[k])": sp.Abs(Jg) * g,
    "max(gp[k], grad(x[k]))": relu(Jg),
    "min(grad(x[k]), 0.5*gp[k] + 0.5*grad(x[k]))": -relu(-Jg / 2),
    "where(gp[k] > grad(x[k]), 3*gp[k] - 2*grad(x[k]), grad(x[k]))": 3 * relu(Jg),
    "grad(x[k]) + norm(gp[k] - grad(x[k]))*grad(x[k])": sp.sqrt(dot(Jg, Jg)) * g,
}


def stored(direction):
    return parse_spec(STORED.format(direction), "stored.yaml")


@pytest.mark.parametrize("direction", BENT)
def test_next_order_beside_a_kink(direction):
    limit = derive(stored(direction), order=1).limit
    wrong = limit.equations[0] - (-g - limit.step * (BENT[direction] + Jg / 2))
    for size in (0.75, -0.5, 2.0):
        at_a_point = wrong.xreplace({dot(Jg, Jg): size**2, Jg: size, g: 0.25, limit.step: 1.0})
        assert abs(at_a_point) < 1e-12


@pytest.mark.parametrize("direction", BENT)
def test_its_order_is_measured(direction):
    (check,) = verify(stored(direction))
    assert check.next_order is not None, check.failures
    assert abs(check.next_order.observed - 2) < 0.1


JUMPS = {
    "(2 + sign(gp[k] - grad(x[k])))*grad(x[k])": "`x` turns on `sign(gp - g(x))`",
    "where(gp[k] > grad(x[k]), 2, 1)*grad(x[k])": "`x` turns on `gp > g(x)`",
}


@pytest.mark.parametrize("direction", JUMPS)
def test_a_jump_there_is_refused(direction):
    with pytest.raises(SpecError) as raised:
        _ = derive(stored(direction)).limit
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "E403"
    assert JUMPS[direction] in diagnostic.message
    assert "vanishes with the step size" in diagnostic.message


def test_a_jump_there_that_changes_nothing_is_none():
    spec = stored("sign(gp[k] - grad(x[k]))*(gp[k] - grad(x[k])) + grad(x[k])")
    assert derive(spec).limit.equations == (-g,)


def test_an_average_of_a_jump_there_is_refused():
    update = "  s[k+1] = 0.5*s[k] + 0.5*where(gp[k] > grad(x[k]), 1, 0)\n  gp[k+1]"
    text = STORED.format("(2 + s[k+1])*grad(x[k])").replace("  gp[k+1]", update)
    with pytest.raises(SpecError, match="`s` turns on `gp > g"):
        _ = derive(parse_spec(text.replace("[x, gp]", "[x, gp, s]"), "stored.yaml")).limit


def test_an_average_of_a_kink_there_has_no_next_order():
    update = "  s[k+1] = 0.5*s[k] + 0.5*abs(gp[k] - grad(x[k]))\n  gp[k+1]"
    text = STORED.format("(2 + s[k+1])*grad(x[k])").replace("  gp[k+1]", update)
    spec = parse_spec(text.replace("[x, gp]", "[x, gp, s]"), "stored.yaml")
    assert derive(spec).limit.equations == (-2 * g,)
    with pytest.raises(SpecError, match="what drives s has a kink"):
        _ = derive(spec, order=1).limit
