"""Stored gradients that are read with a gain of one over the step size."""

import pytest

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.effort import is_zero
from optode.language.symbols import Gradient, Tangent, symbol
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

x, m, a, c = map(symbol, ("x", "m", "a", "c"))
g = Gradient(x)


def stored(update, start="last: grad(x)"):
    lines = "".join(f"  {line}\n" for line in update)
    return parse_spec(
        "name: stored\nstep_size: lr\nparameters: {beta: 1 - a*lr, a: fixed, c: fixed}\n"
        f"state: [x, m, last]\nstart: {{{start}}}\nupdate: |\n{lines}",
        "stored.yaml",
    )


# c*(g - last)/lr is c*J(x'), and x' is -m
KINDS = {
    "a gain of one over the step": [
        "last[k+1] = grad(x[k])",
        "m[k+1] = beta*m[k] + (1 - beta)*(grad(x[k]) + c/lr*(grad(x[k]) - last[k]))",
        "x[k+1] = x[k] - lr*m[k+1]",
    ],
    "a gain by an average's": [
        "y = grad(x[k])",
        "last[k+1] = y",
        "d = y + a*c/(1 - beta)*(y - last[k])",
        "m[k+1] = beta*m[k] + (1 - beta)*d",
        "x[k+1] = x[k] - lr*m[k+1]",
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_limits(kind):
    spec = stored(KINDS[kind])
    limit = derive(spec).limit
    found = dict(zip(limit.states, limit.equations, strict=True))
    assert is_zero(found[x] + m)
    assert is_zero(found[m] - a * (g - c * Tangent(g, m) - m))
    (check,) = verify(spec)
    assert check.passes


BOUNDED = [
    "last[k+1] = grad(x[k])",
    "d = grad(x[k]) + c/lr*(grad(x[k]) - last[k])",
    "m[k+1] = beta*m[k] + (1 - beta)*d/(1 + norm(d))",
    "x[k+1] = x[k] - lr*m[k+1]",
]


def test_a_first_step_that_counts_is_found_by_the_check():
    assert derive(stored(BOUNDED, "last: 0")).check_limit() == ""
    with pytest.raises(SpecError, match="does not approach"):
        derive(stored(KINDS["a gain of one over the step"], "last: 0")).check_limit()
