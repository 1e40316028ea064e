"""Kinds of rules by small ones of each: limits worked out on paper, and the rules beside them.

Every rule here also runs as it is written, in 32 and 512 steps, beside the derived equations.
"""

from __future__ import annotations

import re

import pytest
import sympy as sp

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.effort import is_zero
from optode.language.elementwise import hardtanh, reaches, relu
from optode.language.symbols import TIME, Gradient, Tangent, dot, symbol
from optode.language.text import to_text
from optode.spec.reader import parse_spec

t = TIME
x, m, v, d, s, z, q, x_ref = map(symbol, ("x", "m", "v", "d", "s", "z", "q", "x_ref"))
a, b, c, eps, l1, r = map(symbol, ("a", "b", "c", "eps", "l1", "r"))
g = Gradient(x)
size, sign, sqrt = sp.Abs, sp.sign, sp.sqrt


def rule(update, parameters="", start="", further=""):
    names = list(
        dict.fromkeys(
            line.partition("[")[0] for line in update if "[k+1]" in line.partition("=")[0]
        )
    )
    names.sort(key=lambda name: name != "x")
    lines = "".join(f"  {line}\n" for line in update)
    return parse_spec(
        f"name: small\nstep_size: lr\nparameters: {{{parameters}}}\nstate: [{', '.join(names)}]\n"
        f"start: {{{start}}}\n{further}update: |\n{lines}",
        "small.yaml",
    )


KINDS = {
    "a state that feeds itself": (
        rule(
            [
                "d[k+1] = (1 - r*lr)*d[k] + r*lr*(d[k] + eps)*abs(grad(x[k]))",
                "x[k+1] = x[k] - lr*(d[k] + eps)*grad(x[k])",
            ],
            "r: fixed, eps: fixed",
        ),
        {x: -(d + eps) * g, d: r * ((d + eps) * size(g) - d)},
    ),
    "a running minimum": (
        rule(
            ["d[k+1] = min(d[k], abs(grad(x[k])))", "x[k+1] = x[k] - lr*d[k+1]*grad(x[k])"],
            start="d: abs(grad(x))",
        ),
        {x: -d * g, d: -reaches(d - size(g)) * relu(sign(g) * Tangent(g, d * g))},
    ),
    "a maximum that reads the state itself": (
        rule(
            [
                "s[k+1] = s[k] + lr*d[k]*grad(x[k])",
                "d[k+1] = max(d[k], 2*norm(s[k+1]))",
                "x[k+1] = x[k] - lr*d[k+1]*grad(x[k])",
            ],
            start="d: 0.1",
        ),
        {
            x: -d * g,
            s: d * g,
            d: reaches(2 * sqrt(dot(s, s)) - d) * relu(2 * dot(s, d * g) / sqrt(dot(s, s))),
        },
    ),
    "bounds that shrink with the step": (
        rule(["x[k+1] = x[k] - hardtanh(2*lr*grad(x[k]), -lr*b, lr*c)"], "b: fixed, c: fixed"),
        {x: -hardtanh(2 * g, -b, c)},
    ),
    "bounds that come together": (
        rule(
            [
                "m[k+1] = (1 - a*lr)*m[k] + a*lr*grad(x[k])",
                "x[k+1] = x[k] - lr*hardtanh(m[k], -1/(2 + lr*k), 1/(2 + lr*k))",
            ],
            "a: fixed",
        ),
        {x: -hardtanh(m, -1 / (2 + t), 1 / (2 + t)), m: a * (g - m)},
    ),
    "a minimum of two small terms": (
        rule(["x[k+1] = x[k] - min(lr*norm(x[k]), lr*c)*grad(x[k])"], "c: fixed"),
        {x: -(sqrt(dot(x, x)) - relu(sqrt(dot(x, x)) - c)) * g},
    ),
    "a difference of gradients with a gain": (
        rule(
            [
                "y = grad(x[k]) + c/lr*(grad(x[k]) - grad(x[k-1]))",
                "m[k+1] = (1 - a*lr)*m[k] + a*lr*y",
                "x[k+1] = x[k] - lr*m[k+1]",
            ],
            "a: fixed, c: fixed",
        ),
        {x: -m, m: a * (g - c * Tangent(g, m) - m)},
    ),
    "fast states one after the other": (
        rule(
            [
                "v[k+1] = 0.9*v[k] + 0.1*grad(x[k])**2",
                "m[k+1] = 0.8*m[k] + 0.2*grad(x[k])/(sqrt(v[k+1]) + eps)",
                "x[k+1] = x[k] - lr*m[k+1]",
            ],
            "eps: fixed",
        ),
        {x: -g / (size(g) + eps)},
    ),
    "a fast state with a root": (
        rule(
            [
                "v[k+1] = v[k] + 0.05*(grad(x[k])**2 + 1 - v[k]**2)",
                "x[k+1] = x[k] - lr*grad(x[k])/v[k+1]",
            ],
            start="v: 1",
        ),
        {x: -g / sqrt(g**2 + 1)},
    ),
    "a position that moves by 1/k": (
        rule(
            [
                "z[k+1] = z[k] - lr*grad(x[k])",
                "x[k+1] = x[k] + 3*(z[k+1] - x[k])/(k + 4)",
            ],
            start="z: x",
        ),
        {x: 3 * (z - x) / t, z: -g},
    ),
    "a position made of accumulators": (
        rule(
            [
                "x_ref[k+1] = x_ref[k]",
                "s[k+1] = s[k] + lr*grad(x[k])",
                "v[k+1] = v[k] + lr*grad(x[k])**2",
                "x[k+1] = x_ref[k] - s[k+1]/(v[k+1] + eps)",
            ],
            "eps: fixed",
            "x_ref: x",
        ),
        {x: -g / (v + eps) + s * g**2 / (v + eps) ** 2, x_ref: 0 * x, s: g, v: g**2},
    ),
    "a position that averages accumulators": (
        rule(
            [
                "x_ref[k+1] = x_ref[k]",
                "s[k+1] = s[k] + lr*grad(x[k])",
                "x[k+1] = 0.3*x[k] + 0.7*(x_ref[k] - tanh(s[k+1]))",
            ],
            start="x_ref: x",
        ),
        {x: -(1 - sp.tanh(s) ** 2) * g, x_ref: 0 * x, s: g},
    ),
    "a position that copies another state": (
        rule(
            ["q[k+1] = q[k] - lr*(grad(x[k]) + x[k])", "x[k+1] = q[k+1]"],
            start="q: x",
        ),
        {x: -g - x},
    ),
    "a soft threshold": (
        rule(
            [
                "y = x[k] - lr*grad(x[k])",
                "x[k+1] = sign(y)*max(abs(y) - lr*l1, 0)",
            ],
            "l1: fixed",
        ),
        {x: -g - l1 * sign(x)},
    ),
    "a maximum that time decides": (
        rule(["x[k+1] = x[k] - lr**2*max(1, k)*grad(x[k])"]),
        {x: -t * g},
    ),
    "a minimum that a parameter decides": (
        rule(["x[k+1] = x[k] - lr*min(1, (k + 1)/c)*grad(x[k])"], "c: fixed"),
        {x: -g},
    ),
    "bounds that grow": (
        rule(["x[k+1] = x[k] - lr*hardtanh(grad(x[k]), -(k + 1)**0.25, (k + 1)**0.25)"]),
        {x: -g},
    ),
    "a maximum of what settles": (
        rule(
            [
                "v[k+1] = b*v[k] + (1 - b)*grad(x[k])**2",
                "d[k+1] = max(d[k], v[k+1])",
                "x[k+1] = x[k] - lr*grad(x[k])/(d[k+1] + 1)",
            ],
            "b: fixed",
        ),
        {
            x: -g / (d + relu(g**2 - d) + 1),
            d: reaches(g**2 - d) * relu(-2 * g * Tangent(g, g / (d + relu(g**2 - d) + 1))),
        },
    ),
    "a rate that is a square": (
        rule(
            [
                "m[k+1] = b*m[k] + (1 - b)*grad(x[k])",
                "q[k+1] = (1 - (b + lr*norm(m[k]))**2)*q[k] + (b + lr*norm(m[k]))**2*grad(x[k])",
                "x[k+1] = x[k] - lr*q[k+1]",
            ],
            "b: fixed",
        ),
        {x: -g},
    ),
    "a rate that another state sets": (
        rule(
            [
                "v[k+1] = (1 - a*lr)*v[k] + a*lr*grad(x[k])**2",
                "w = min(1, b*v[k+1]/norm(v[k+1]))",
                "m[k+1] = m[k] + w*(grad(x[k]) - m[k])",
                "x[k+1] = x[k] - lr*m[k+1]",
            ],
            "a: fixed, b: fixed",
            "v: grad(x)**2",
        ),
        {x: -g, v: a * (g**2 - v)},
    ),
    "a function at 0": (
        rule(["x[k+1] = x[k] - (sigmoid(lr*grad(x[k])) - 0.5)"]),
        {x: -g / 4},
    ),
    "a power whose exponent moves": (
        rule(["x[k+1] = x[k] - lr*0.5**(lr*k)*grad(x[k])"]),
        {x: -sp.exp(-t * sp.log(2)) * g},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_limits(kind):
    spec, expected = KINDS[kind]
    derivation = derive(spec)
    limit = derivation.limit
    found = dict(zip(limit.states, limit.equations, strict=True))
    assert list(found) == list(expected)
    for state, equation in expected.items():
        assert is_zero(found[state] - equation), f"{state}' = {found[state]}, not {equation}"
    assert derivation.check_limit() == ""


REFUSED = {
    "a start that is forgotten": (
        ["s[k+1] = s[k] + lr*grad(x[k])", "x[k+1] = 2 - s[k+1]"],
        "E307",
        "forgets where it starts",
    ),
    "terms that die out but count": (
        ["q[k+1] = q[k] + 0.5**k", "x[k+1] = x[k] - lr*q[k]*grad(x[k])"],
        "E403",
        "dies out within a few steps",
    ),
    "a power that is no number": (
        ["x[k+1] = x[k] - lr*(k + 1)**(-r)*grad(x[k])"],
        "E403",
        "has r in it: give a number",
    ),
    "an inverse of a Jacobian": (
        ["x[k+1] = x[k] - lr*grad(x[k]) + 0.1*(grad(x[k]) - grad(x[k-1]))"],
        "E403",
        "inside of a gradient, a Jacobian",
    ),
    "fast states in a circle": (
        [
            "m[k+1] = 0.5*m[k] + v[k]**2*grad(x[k])",
            "v[k+1] = 0.5*v[k] + m[k]**3 + 1",
            "x[k+1] = x[k] - lr*m[k]",
        ],
        "E403",
        "no unique values are found that m, v settle at",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_say_why(kind):
    update, code, words = REFUSED[kind]
    with pytest.raises(SpecError, match=words) as raised:
        _ = derive(rule(update, "r: fixed")).limit
    assert {diagnostic.code for diagnostic in raised.value.diagnostics} == {code}
    assert raised.value.diagnostics[0].span is not None


def test_what_a_limit_does_not_say_is_noted():
    spec = rule(
        [
            "m[k+1] = (1 - a*lr)*m[k] + a*lr*grad(x[k])",
            "q[k+1] = (1 - lr)*q[k] + lr*x[k]",
            "x[k+1] = x[k] - lr*m[k+1]",
        ],
        "a: fixed, b: fixed",
    )
    assert derive(spec).limit.notes == (
        "`q` is read by no other equation: it changes nothing else",
    )


UNDECIDED = (
    "name: undecided\nstep_size: lr\nparameters: {mu: decay, eps: fixed, rho: decay}\n"
    "state: [x, m, v]\nupdate: |\n"
    "  v[k+1] = rho*v[k] + (1 - rho)*grad(x[k])**2\n"
    "  m[k+1] = mu*m[k] + grad(x[k])/(sqrt(v[k+1]) + eps)\n"
    "  x[k+1] = x[k] - lr*m[k+1]\n"
)


def test_the_lines_of_a_choice_can_be_pasted():
    with pytest.raises(SpecError) as raised:
        _ = derive(parse_spec(UNDECIDED, "undecided.yaml")).limit
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "E402"
    hint = (diagnostic.hint or "").splitlines()
    lines = [line.strip() for line in hint if line.startswith("  parameters:")]
    assert len(lines) == 4
    assert sum("mu = 0.9, rho = 0.999, lr = 0.001" in line for line in hint) == 1
    for line in lines:
        pasted = re.sub(r"parameters: .*", line, UNDECIDED)
        limit = derive(parse_spec(pasted, "pasted.yaml")).limit
        block = hint[hint.index(f"  {line}") + 1 :]
        for state, equation in zip(limit.states, limit.equations, strict=True):
            (shown,) = (text for text in block[: len(limit.states) + 1] if f" {state}' = " in text)
            assert shown.split(" = ", 1)[1] == to_text(equation)
