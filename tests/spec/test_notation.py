"""The notations of papers, and constants that nobody declares."""

from __future__ import annotations

import re

import pytest
import torch
from fields import TanhField
from typer.testing import CliRunner

from optode import SpecError, compile, derive
from optode.cli.main import app
from optode.spec.reader import parse_spec

PAPER = """\
name: paper
step_size: s
parameters: {b1: 1 - a*s, b2: 1 - c*s, a: fixed, c: fixed, r: k/(k + 3)}
state: [x, m, v]
update: |
  g[k] = grad(x[k-1] + r*(x[k-1] - x[k-2]))
  m[k] = b1*m[k-1] + (1 - b1)*g[k]
  m_hat = m[k]/(1 - b1**k)
  v[k] = b2*v[k - 1] + (1 - b2)*g**2
  x[k] = x[k-1] - s*m_hat/(1 + sqrt(v[k]))
"""
PLAIN = """\
name: paper
step_size: s
parameters: {b1: 1 - a*s, b2: 1 - c*s, a: fixed, c: fixed, r: (k+1)/((k+1) + 3)}
state: [x, m, v]
update: |
  g = grad(x[k] + r*(x[k] - x[k-1]))
  m[k+1] = b1*m[k] + (1 - b1)*g
  m_hat = m[k+1]/(1 - b1**(k+1))
  v[k+1] = b2*v[k] + (1 - b2)*g**2
  x[k+1] = x[k] - s*m_hat/(1 + sqrt(v[k+1]))
"""


def rule(lines: str, states: str = "x, m", more: str = "parameters: {b: fixed}\n") -> str:
    return f"name: rule\nstep_size: s\nstate: [{states}]\n{more}update: |\n{lines}"


def errors(text: str) -> list[tuple[str, tuple[int, int], str, str]]:
    """Code, place, message and hint of every error of the rule."""
    with pytest.raises(SpecError) as caught:
        _ = derive(parse_spec(text)).given
    found = [d for d in caught.value.diagnostics if d.span is not None]
    assert len(found) == len(caught.value.diagnostics)
    places = [d.span.source.line_column(d.span.start) for d in found]
    return [(d.code, p, d.message, d.hint or "") for d, p in zip(found, places, strict=True)]


def test_a_step_that_ends_at_k_is_the_one_that_begins_there():
    ours, theirs = (derive(parse_spec(text)).rule for text in (PAPER, PLAIN))
    assert ours == theirs


def test_a_start_and_a_lag_in_the_notation_of_papers():
    lines = "  x[k] = x[k-1] - s*grad(x[k-1]) + b*(x[k-1] - x[k-2])\n"
    later = "  x[k+1] = x[k] - s*grad(x[k]) + b*(x[k] - x[k-1])\n"
    ours, theirs = (derive(parse_spec(rule(u, "x"))) for u in (lines, later))
    assert ours.rule == theirs.rule
    warm = "  m[k] = b*m[k-1] + grad(x[k-1])\n  x[k] = x[k-1] - s*m[k]\nstart: {m: x}\n"
    plain = "  m[k+1] = b*m[k] + grad(x[k])\n  x[k+1] = x[k] - s*m[k+1]\nstart: {m: x}\n"
    assert derive(parse_spec(rule(warm))).rule == derive(parse_spec(rule(plain))).rule


MIXED = {
    "  m[k] = b*m[k-1] + grad(x[k])\n  x[k+1] = x[k] - s*m[k]\n": (
        "E123", (6, 3), "`m` is a state",
        "write `m[k+1] = ...` as for the other states, and `m[k]` for its value before the step",
    ),
    "  m[k] = b*m[k] + grad(x[k])\n  x[k] = x[k] - s*m[k]\n": (
        "E123", (6, 3), "`m` is a state", "write `m[k+1] = ...`",
    ),
    "  m[k] = b*m[k-1] + grad(x)\n  x[k] = x[k-1] - s*m[k]\n": (
        "E211", (6, 26), "`x` needs an index here",
        "`x[k-1]` is its value before the step, `x[k]` the new one",
    ),
    "  m[k] = b*m[k-1] + grad(x[k-1])\n  x[k] = x[k-1] - s*m[k+1]\n": (
        "E305", (7, 21), "`m[k+1]` lies beyond the step",
        "as states are assigned at k, `m[k]` is the new value",
    ),
}  # fmt: skip


def test_what_lies_beyond_the_step_is_reported_with_unknown_names():
    lines = "  m[k+1] = b*m[k+2] + gard(x[k])\n  x[k+1] = x[k] - sz*m[k+1] + x[k+3]\n"
    assert [(code, place) for code, place, *_ in errors(rule(lines))] == [
        ("E305", (6, 14)), ("E204", (6, 23)), ("E203", (7, 19)), ("E305", (7, 31)),
    ]  # fmt: skip


@pytest.mark.parametrize("lines", MIXED)
def test_a_mixture_says_what_to_write(lines):
    assert errors(rule(lines))[0] == MIXED[lines]


def ode(lines: str, states: str = "x", model: str = "") -> str:
    return f"name: flow\nstate: [{states}]\node: |\n{lines}model: {{class: FlowNODE{model}}}\n"


SECOND = (
    ("  x'' = -2*x' + f(t, x)\n", "x", "x_dot"),
    ("  x″ = -2*x′ + f(t, x)\n", "x", "x_dot"),
    ("  y = f(t, x) - 2*x'\n  x'' = y\n", "x", "x_dot"),
    ("  x'' = -2*x_dot + f(t, x)\n", "x, x_dot", "x_dot"),
    ("  x' = v\n  x'' = -2*x' + f(t, x)\n", "x, v", "v"),
    ("  x'' = -2*v + f(t, x)\n  x' = v\n", "x, v", "v"),
)


@pytest.mark.parametrize(("lines", "states", "velocity"), SECOND)
def test_a_second_derivative_makes_a_velocity(float64, lines, states, velocity):
    derivation = derive(parse_spec(ode(lines, states)))
    first = derive(parse_spec(ode("  x' = v\n  v' = -2*v + f(t, x)\n", "x, v")))
    assert [str(z) for z in derivation.limit.states] == ["x", velocity]
    assert str(derivation.limit.equations).replace(velocity, "v") == str(first.limit.equations)
    assert derivation.following.relative_degree == 2


def test_velocities_of_several_states_and_their_model(float64):
    text = ode(
        "  x'' = f(t, x, y, x') - y'\n  y' = x' - y\n".replace("- y'\n", "- y\n"),
        "x, y",
        ", rename: {x_dot: p}, initial: {p: given, y: given}",
    )
    node = compile(parse_spec(text))(TanhField(arguments=3)).double()
    x, p, y = states = tuple(torch.randn(2, 4) for _ in range(3))
    t = torch.tensor(0.2)
    assert node.state_names == ("x", "p", "y")
    expected = (p, node.field(t, x, y, p) - y, p - y)
    for ours, theirs in zip(node.vector_field(t, states), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("lines", "states", "found"),
    [
        ("  x''' = f(t, x)\n", "x", ("E123", (4, 3))),
        ("  x'' = f(t, x)\n  x' = x\n", "x", ("E124", (5, 3))),
        ("  x_dot = x\n  x'' = f(t, x)\n", "x", ("E117", (5, 3))),
        ("  x' = v\n  v' = f(t, x)\n  y'' = v\n", "x, v", ("E126", (6, 3))),
        ("  x'' = f(t, x) - y'\n  y' = x\n", "x, y", ("E202", (4, 20))),
        ("  x'' = f(t, x) - c*x''\n", "x", ("E202", (4, 23))),
    ],
)
def test_what_a_second_derivative_cannot_be(lines, states, found):
    assert found in [error[:2] for error in errors(ode(lines, states))]


def test_an_update_has_no_derivatives():
    assert errors(rule("  x'' = x\n", "x"))[0][0] == "E123"


# Constants that nobody declares

OPEN = rule(
    "  m[k+1] = m[k] + q*s*(grad(x[k]) - m[k])\n  x[k+1] = x[k] - w*s*m[k+1]/(eps + q)\n",
    more="",
)
MODEL = "model: {class: OpenNODE}\n"


def test_all_undeclared_constants_are_offered_at_once():
    found = errors(OPEN)
    assert [(code, message) for code, _, message, _ in found] == [
        ("E203", f"unknown name `{name}`") for name in ("q", "w", "eps", "q")
    ]
    hints = [hint for *_, hint in found]
    assert hints[0] == "add to parameters: q: fixed, w: fixed, eps: fixed"
    assert hints == [hints[0], hints[0], f"did you mean `exp`? or {hints[0]}", hints[0]]
    line = re.sub("add to (.*?): (.*)", r"\1: {\2}\n", hints[0])
    assert derive(parse_spec(OPEN + line)).limit


def test_a_name_that_may_be_misspelt_is_offered_beside_the_other():
    text = rule("  x[k+1] = x[k] - s*btea*grad(x[k]) + q[k]\n", "x", "parameters: {beta: fixed}\n")
    hints = [hint for *_, hint in errors(text)]
    assert hints == ["did you mean `beta`? or add to parameters: btea: fixed", ""]


def test_undeclared_constants_of_an_ode_are_the_model_s():
    found = errors(ode("  x' = f(t, x) - c*x + d\n"))
    assert {hint for *_, hint in found} == {
        "add to the model's parameters: c: {value: ...}, d: {value: ...}"
    }
    text = ode("  x' = f(t, x) - c*x\n")
    derivation = derive(parse_spec(text), assume_fixed=True)
    assert [str(p.symbol) for p in derivation.model.parameters if p.required] == ["c"]


def test_assumed_constants_are_required_by_the_module(float64):
    derivation = derive(parse_spec(OPEN + MODEL), assume_fixed=True)
    assert derivation.spec.assumed == ("q", "w", "eps")
    assert "from <string> with --assume-fixed" in derivation.module_text
    made = compile(derivation.spec)
    with pytest.raises(TypeError, match="missing 3 required keyword-only arguments"):
        made(TanhField())
    node, h = made(TanhField(), q=0.5, w=2.0, eps=0.1), torch.randn(2, 4)
    m, t = torch.randn(2, 4), torch.tensor(0.3)
    rates = node.vector_field(t, (h, m))
    torch.testing.assert_close(rates[0], -2.0 * m / 0.6)
    torch.testing.assert_close(rates[1], 0.5 * (-node.field(t, h) - m))


@pytest.mark.parametrize("command", ["derive", "generate", "verify", "check"])
def test_commands_take_and_tell_assumed_constants(command, tmp_path):
    path = tmp_path / "open_rule.yaml"
    path.write_text(OPEN.replace("name: rule", "name: open_rule") + MODEL)
    options = ["-o", str(tmp_path / "out")] if command == "generate" else []
    options += ["--order", "0"] if command == "verify" else []
    done = CliRunner().invoke(app, [command, str(path), *options])
    assert done.exit_code == 1
    done = CliRunner().invoke(app, [command, str(path), "--assume-fixed", *options])
    assert done.exit_code == 0, done.output
    assert f"{path}: assumed to be fixed: q, w, eps\n" in done.stderr
    if command == "generate":
        assert (tmp_path / "out" / "open_rule.py").is_file()


def test_an_assumed_constant_may_be_a_start_or_have_a_value():
    text = """\
name: warm
step_size: s
state: [x, v]
update: |
  v[k+1] = (1 - s)*v[k] + s*grad(x[k])**2
  x[k+1] = x[k] - s*q*grad(x[k])/(1 + v[k+1])
start: {v: v0}
model:
  class: WarmNODE
  parameters: {q: {value: 2.0}}
"""
    parameters = derive(parse_spec(text), assume_fixed=True).model.parameters
    assert [(str(p.symbol), p.value, p.required) for p in parameters] == [
        ("q", 2.0, False),
        ("v0", None, True),
    ]
