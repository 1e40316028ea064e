"""States that are roots of sums with their own powers: the power is the state of the limit."""

import pytest
import sympy as sp

from optode.compiler import derive
from optode.language.effort import is_zero
from optode.language.symbols import TIME, Gradient, symbol
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

x, s2, s3, m2, b, a, eta = map(symbol, ("x", "s2", "s3", "m2", "b", "a", "eta"))
g = Gradient(x)


def rule(update, start=""):
    names = [line.partition("[")[0] for line in update if "[k+1]" in line.partition("=")[0]]
    names.sort(key=lambda name: name != "x")
    lines = "".join(f"  {line}\n" for line in update)
    return parse_spec(
        "name: rooted\nstep_size: lr\nparameters: {a: fixed, eta: fixed}\n"
        f"state: [{', '.join(names)}]\nstart: {{{start}}}\nupdate: |\n{lines}",
        "rooted.yaml",
    )


KINDS = {
    "an average under a root": (
        rule(
            [
                "s[k+1] = sqrt((1 - a*lr)*s[k]**2 + a*lr*grad(x[k])**2)",
                "x[k+1] = x[k] - lr*grad(x[k])/s[k+1]",
            ],
            "s: 1",
        ),
        {x: -g / sp.sqrt(s2), s2: a * (g**2 - s2)},
    ),
    "a cube root": (
        rule(
            [
                "s[k+1] = (s[k]**3 + lr*abs(grad(x[k]))**3)**(1/3)",
                "x[k+1] = x[k] - lr*grad(x[k])/(s[k] + 1)",
            ],
            "s: eta",
        ),
        {x: -g / (s3 ** sp.Rational(1, 3) + 1), s3: sp.Abs(g) ** 3},
    ),
    "Kate (Choudhury et al. 2024)": (
        rule(
            [
                "b[k+1] = b[k] + grad(x[k])**2 + a",
                "m[k+1] = sqrt(m[k]**2 + eta*grad(x[k])**2 + grad(x[k])**2/b[k+1])",
                "x[k+1] = x[k] - lr*m[k+1]*grad(x[k])/b[k+1]",
            ]
        ),
        {x: -sp.sqrt(m2) * g / b, b: g**2 + a, m2: eta * g**2},
    ),
    "a root of a fixed average": (
        rule(
            [
                "s[k+1] = sqrt(s[k]**2/2 + grad(x[k])**2/2 + 1)",
                "x[k+1] = x[k] - lr*grad(x[k])/s[k+1]",
            ]
        ),
        {x: -g / sp.sqrt(g**2 + 2)},
    ),
    "a root in time": (
        rule(
            [
                "m[k+1] = sqrt(m[k]**2 + lr)",
                "x[k+1] = x[k] - lr*m[k+1]*grad(x[k])",
            ]
        ),
        {x: -sp.sqrt(m2) * g, m2: sp.S.One},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_limits(kind):
    spec, expected = KINDS[kind]
    derivation = derive(spec)
    limit = derivation.limit
    found = dict(zip(limit.states, limit.equations, strict=True))
    assert set(found) == set(expected)
    for state, equation in expected.items():
        assert is_zero(found[state] - equation), f"{state}' = {found[state]}"
    assert derivation.check_limit() == ""


def test_the_start_is_the_power_of_the_start():
    limit = derive(KINDS["a cube root"][0]).limit
    assert dict(zip(limit.states, limit.initial, strict=True))[s3] == eta**3


def test_kate_is_late_by_the_root_of_a_step():
    (check,) = verify(KINDS["Kate (Choudhury et al. 2024)"][0])
    assert check.passes
    assert check.limit.expected.order == sp.Rational(1, 2)


def test_a_name_that_is_taken_is_not_used_twice():
    update = ["s2[k+1] = (1 - lr)*s2[k] + lr*x[k]"]
    update += [
        "s[k+1] = sqrt(s[k]**2 + lr*grad(x[k])**2)",
        "x[k+1] = x[k] - lr*grad(x[k])/(s[k+1] + s2[k])",
    ]
    assert [str(z) for z in derive(rule(update, "s: 1")).limit.states] == ["x", "s2", "s2_"]


def test_roots_of_what_is_zero_at_the_start_stand_apart():
    spec = rule(
        [
            "s[k+1] = (1 - a*lr)*s[k] + a*lr*grad(x[k])**2",
            "x[k+1] = x[k] - lr*sqrt((1 - (1 - a*lr)**k)/(s[k] + 1))*grad(x[k])",
        ]
    )
    limit = derive(spec).limit
    early = sp.sqrt(1 - sp.exp(-a * TIME))
    assert limit.equations[0] == -early * sp.sqrt(1 / (symbol("s") + 1)) * g
    assert limit.notes == ()
