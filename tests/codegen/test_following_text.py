"""The text of ``linear_part`` and of followers: as ruff leaves it, and right for times of any shape."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile

import pytest
import sympy as sp
import torch

from optode.adjoint.adjoint import adjoint_system
from optode.codegen.in_memory import class_from_text
from optode.codegen.module import render
from optode.language.conditions import compared, where
from optode.language.elementwise import hardtanh, relu, sigmoid, softplus
from optode.language.symbols import TIME, Field, symbol
from optode.model.following import derive_following
from optode.model.model import Initial, LearnedParameter, NeuralODE

h, m, alpha, eps, decay = map(symbol, ["h", "m", "alpha", "eps", "decay"])
t, f = TIME, Field(TIME, h)
A, E = 1 / (1 + math.exp(-1)), 0.25  # sigmoid(1), and the constant
LONG = sp.Add(*(sp.sin(k * alpha * t + eps) * sp.exp(-k * eps * t) for k in range(1, 8)))

# a number at each time, and its value as typed in Python
NUMBERS = [
    (alpha, lambda t: A),
    (eps, lambda t: E),
    (sp.Integer(2), lambda t: 2.0),
    (-alpha, lambda t: -A),
    (sp.Rational(1, 3), lambda t: 1 / 3),
    (sp.sqrt(eps), lambda t: math.sqrt(E)),
    (2 * sp.sqrt(alpha) + eps**2, lambda t: 2 * math.sqrt(A) + E**2),
    (alpha - eps**2 - alpha**2, lambda t: A - E**2 - A**2),
    (-(alpha**eps), lambda t: -(A**E)),
    (3 / t, lambda t: 3 / t),
    (alpha / (eps * t + 1) ** 2, lambda t: A / (E * t + 1) ** 2),
    (alpha * t**eps, lambda t: A * t**E),
    (1 - sp.exp(-alpha * t), lambda t: 1 - math.exp(-A * t)),
    (relu(t - alpha), lambda t: max(t - A, 0)),
    (hardtanh(t, -eps, 2), lambda t: min(max(t, -E), 2)),
    (hardtanh(alpha * t, eps, alpha), lambda t: min(max(A * t, E), A)),
    (sp.Abs(t - 1) * sp.sign(t - eps), lambda t: abs(t - 1) * (-1 if t < E else 1)),
    (softplus(alpha + t), lambda t: math.log(1 + math.exp(A + t))),
    (sigmoid(eps) + sigmoid(t), lambda t: 1 / (1 + math.exp(-E)) + 1 / (1 + math.exp(-t))),
    (where(compared(t, "<", sp.S.One), alpha, eps), lambda t: A if t < 1 else E),
    (where(compared(t, "<", sp.S.One), 2, alpha / t), lambda t: 2 if t < 1 else A / t),
    (where(compared(eps, "<", sp.S.One), alpha, 1), lambda t: A),
    (LONG, lambda t: sum(math.sin(k * A * t + E) * math.exp(-k * E * t) for k in range(1, 8))),
]  # fmt: skip
PARAMETERS = (
    LearnedParameter(alpha, init=1.0, transform="sigmoid"),
    LearnedParameter(eps, value=E),
)


def text_of(equations):
    used = set().union(*(e.free_symbols for e in equations.values()))
    system = adjoint_system(
        NeuralODE(
            "hand", "Hand", "A title", (), tuple(equations),
            tuple(p for p in PARAMETERS if p.symbol in used), tuple(equations.values()),
            (Initial("given"), *[Initial("zero")] * (len(equations) - 1)), (0.0, 1.0), (),
        )
    )  # fmt: skip
    following = derive_following(system.model)
    return render(system, following, spec_name="hand.yaml", sha256="0" * 64, version="0.0")


def formatted(text):
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    # in a folder without optode, which is then a package like any other
    done = subprocess.run(
        command, input=text, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(("number", "value"), NUMBERS, ids=[str(i) for i in range(len(NUMBERS))])
def test_numbers_as_text(number, value):
    text = text_of({h: sp.tanh(m), m: f + number * m})
    assert text == formatted(text)
    node = class_from_text(text, "hand_numbers", "Hand")(torch.nn.Identity()).double()
    for times in (torch.tensor(0.3), torch.tensor([0.2, 0.9, 1.6]), torch.rand(2, 3) + 0.1):
        first, (other, found) = node.linear_part(times.double())
        assert (*first, other) == (0.0, 0.0, 0.0)
        assert isinstance(found, (float, torch.Tensor))
        found = torch.as_tensor(found, dtype=torch.float64)
        assert found.shape in ((), times.shape)
        expected = [value(float(x)) for x in times.double().flatten()]
        found = found.detach().expand(times.shape).flatten().tolist()
        assert found == pytest.approx(expected, rel=1e-12)


def test_gradients_of_numbers_reach_what_is_learned():
    text = text_of({h: sp.tanh(m), m: f - m * alpha / (eps * t + 1)})
    node = class_from_text(text, "hand_numbers", "Hand")(torch.nn.Identity())
    times = torch.tensor([0.5, 2.0], dtype=torch.float64)
    node.linear_part(times)[1][1].sum().backward()
    expected = -A * (1 - A) * (1 / (E * 0.5 + 1) + 1 / (E * 2.0 + 1))
    assert node.raw_alpha.grad.item() == pytest.approx(expected, rel=1e-6)


def test_without_numbers_there_is_no_method():
    text = text_of({h: sp.tanh(m), m: f})
    assert "linear_part" not in text
    assert "Rates" not in text
    made = class_from_text(text, "hand_numbers", "Hand")
    assert made(torch.nn.Identity()).linear_part(torch.ones(3)) == ((0.0, 0.0), (0.0, 0.0))
    assert (made.followers, made.relative_degree) == ((("h",),), 2)


def test_what_the_base_class_says_is_not_said_again():
    text = text_of({h: f})
    assert all(name not in text for name in ("followers", "linear_part", "relative_degree"))
    text = text_of({h: f * m, m: f})
    assert 'followers = (("h",),)' in text
    assert "followers_see_f = True" in text
    text = text_of({h: m, m: f})
    assert "return (0.0, 1.0), (0.0, 0.0)" in text
    assert "return ((-1.0,),)" in text_of({h: f - h})


@pytest.mark.parametrize("count", [3, 9])
def test_names_that_fill_many_lines(count):
    """More than a line of followers, and rows that fill several lines."""
    states = [symbol(f"momentum_number_{i}") for i in range(count)]
    long = {z: f - alpha * eps * z / (1 + eps * t) for z in states}
    text = text_of({h: sp.Add(*states), **long})
    assert text == formatted(text)
    text = text_of({h: f, **{z: sp.sin(h) for z in states}})
    assert text == formatted(text)
    made = class_from_text(text, "hand_names", "Hand")
    assert made.followers == (tuple(map(str, states)),)
