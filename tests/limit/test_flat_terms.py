"""Leading terms that vanish on whole regions, as ``max(G, 0)`` does: there the next ones decide."""

import pytest
import sympy as sp

from optode.compiler import derive
from optode.language.symbols import Gradient, symbol
from optode.spec.reader import parse_spec

x, c = symbol("x"), symbol("c")
g = Gradient(x)

KINDS = {
    "a gap that may be zero": (
        "x[k+1] = x[k] - min(lr, max(x[k] - 0.5, 0)/c)*grad(x[k])",
        lambda u, s: -s if u > 0.5 else 0,
    ),
    "a gap below a bound": (
        "x[k+1] = x[k] - max(lr*c, 2*lr - max(x[k] - 0.5, 0))*grad(x[k])",
        lambda u, s: -2 * s if u <= 0.5 else -0.25 * s,
    ),
    "the sign of a masked value": (
        "x[k+1] = x[k] - lr*sign(where(x[k] > 0, x[k], 0) + lr*grad(x[k]))",
        lambda u, s: -1 if u > 0 else -1 if s > 0 else 1,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_limits(kind):
    line, rate = KINDS[kind]
    spec = parse_spec(
        f"name: flat\nstep_size: lr\nparameters: {{c: fixed}}\nstate: [x]\nupdate: |\n  {line}\n",
        "flat.yaml",
    )
    derivation = derive(spec)
    (equation,) = derivation.limit.equations
    for u in (2.0, 0.25, -1.5):
        for s in (0.75, -0.75):
            point = {g: sp.Float(s), x: sp.Float(u), c: sp.Float(0.25)}
            assert abs(equation.xreplace(point).evalf() - rate(u, s)) < 1e-12, equation
    assert derivation.check_limit() == ""
