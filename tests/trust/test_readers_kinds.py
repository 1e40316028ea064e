"""Specs that ended in a traceback or without an end: each kind derives, or gets a true diagnostic."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
import torch

from optode import SpecError, compile, derive
from optode.spec.reader import parse_spec
from optode.time_limit import time_limit

SECONDS = 30.0


def rule(lines: str, states: str = "x", more: str = "") -> str:
    return f"name: rule\nstep_size: s\nstate: [{states}]\nupdate: |\n{lines}{more}"


def ode(lines: str, states: str = "h", more: str = "") -> str:
    return f"name: flow\nstate: [{states}]\node: |\n{lines}model:\n  class: Flow\n{more}"


def code(text: str) -> str:
    """The code of the first error, "" if there is none, within the time."""
    try:
        with time_limit(SECONDS):
            derivation = derive(parse_spec(text))
            derivation.show()
            _ = derivation.spec.has_model and derivation.module_text
    except SpecError as error:
        return error.diagnostics[0].code
    return ""


GROWTHS = ("max(0.9*w[k], 0.1)", "w[k] + 1/w[k]", "w[k] + log(w[k])", "w[k] - grad(w[k])",
           "w[k] + norm(w[k])", "relu(w[k]) + 1", "exp(exp(w[k]))", "sqrt(w[k] - 2)")  # fmt: skip


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("start", ["0", "1"])
def test_states_that_move_themselves_are_carried_out_in_numbers(growth: str, start: str) -> None:
    lines = f"  w[k+1] = {growth}\n  x[k+1] = x[k] - s*grad(x[k])\n"
    assert code(rule(lines, "x, w", f"start: {{w: {start}}}\n")) in {"", "E401", "E403", "E404"}


def test_a_fast_state_rests_on_its_floor() -> None:
    lines = "  u[k+1] = max(0.7*u[k], abs(grad(x[k])))\n  x[k+1] = x[k] - s*grad(x[k])/u[k+1]\n"
    shown = derive(parse_spec(rule(lines, "x, u"))).show("limit")
    assert "x' = -g(x)/abs(g(x))" in shown
    assert "u = abs(g(x))" in shown


def test_a_fast_state_above_its_floor_settles_where_it_would_without() -> None:
    lines = "  u[k+1] = max(0.5*u[k] + 1, 0.1*x[k])\n  x[k+1] = x[k] - s*u[k+1]*grad(x[k])\n"
    assert "relu(0.1*x - 2) + 2" in derive(parse_spec(rule(lines, "x, u"))).show("limit")


NUMBERS = ("1" + "0" * 309, "1e400/16", "(x[k]*1e-300)**64", "(x[k]*1e200)**2", "sqrt(-2)",
           "log(-1)", "(-8)**(1/3)", "(-1)**x[k]", "0**x[k]", "1/(2 - 2)", "1e999")  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_constants_that_no_float_holds_are_refused(number: str) -> None:
    assert code(rule(f"  x[k+1] = x[k] - s*{number}*grad(x[k])\n")) in {"E207", "E209"}


def test_numbers_with_hundreds_of_digits_are_not_factored() -> None:
    for root in ("sqrt(1e300 - 0.5)", "norm(0.5 - 1e300)", "(1e299 + 1/3)**0.7"):
        assert code(rule(f"  x[k+1] = x[k] - s*(grad(x[k])/{root})\n")) in {"", "E207"}


def test_a_constant_that_gets_complex_on_the_way_is_found() -> None:
    lines = "  v[k+1] = v[k] + s\n  x[k+1] = x[k] - s**2*(v[k] - v[k+1])**(-1/2)\n"
    assert code(rule(lines, "x, v")) == "E403"


def test_intermediate_quantities_of_an_ode_stand_in_any_order() -> None:
    lines = "  u = gamma*y\n  h' = m\n  y = m + h**2\n  m' = f(t, h) - u\n"
    shown = derive(parse_spec(ode(lines, "h, m", "  parameters: {gamma: {init: 1.0}}\n")))
    assert "m' = -gamma*(h**2 + m) + f(t, h)" in shown.show("limit")
    assert code(ode("  y = u + h\n  u = 2*y\n  h' = y*f(t, h)\n")) == "E301"


@pytest.mark.parametrize("form", ["y{0}*y{0} + h", "exp(y{0})"])
def test_quantities_that_double_or_nest_are_measured_before_they_are_put_in(form: str) -> None:
    lines = [f"  y{b} = {form.format(a)}\n" for a, b in itertools.pairwise(range(190))]
    begun = time.process_time()
    assert code(ode("".join(["  y0 = h\n", *lines, "  h' = y189*f(t, h)\n"]))) == "E306"
    assert time.process_time() - begun < SECONDS / 2


def test_a_chain_of_specs_ends(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"s{i}.yaml").write_text(f"name: s{i}\nextends: s{i + 1}.yaml\n")
    with pytest.raises(SpecError, match="more than 20 specs extend one another"):
        derive(tmp_path / "s0.yaml")


def test_regimes_are_not_tried_without_end() -> None:
    decays = ", ".join(f"b{i}: decay" for i in range(7))
    text = rule("  x[k+1] = x[k] - s*grad(x[k])\n")
    assert code(text.replace("state:", f"parameters: {{{decays}}}\nstate:")) == "E406"


SUMS = ("dot(c, c)*f(t, h)", "dot(c, c)", "norm(c)*f(t, h) + dot(1, 1)", "f(t, c)",
        "0.1*dot(h, h)", "f(t, norm(h)) + 0.01*dot(norm(h), norm(h))*c")  # fmt: skip


class Tanh(torch.nn.Module):
    """``f(t, h) = tanh(h + t)``."""

    def forward(self, t: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return torch.tanh(h + t)


@pytest.mark.parametrize("right", SUMS)
def test_sums_over_features_of_what_has_no_shape(right: str, tmp_path: Path, float64: None) -> None:
    parameters = "  parameters: {c: {init: 0.4}}\n" if "c" in right.replace("norm", "") else ""
    path = tmp_path / "flow.yaml"
    path.write_text(ode(f"  h' = {right}\n", more=parameters))
    made = compile(path)
    start = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)
    gradients = []
    for way in ("discrete", "autograd"):
        node = made(Tanh(), gradient=way)
        h = start.clone().requires_grad_()
        end = node(h)
        assert end.shape == start.shape
        end.sum().backward()
        gradients.append([h.grad, *(p.grad for p in node.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_a_balance_that_leaves_the_unit_of_time_open_is_no_scaling() -> None:
    lines = "  m[k+1] = beta*m[k] + (1 - beta)*grad(x[k])\n  x[k+1] = x[k] - s*x[k]/m[k]\n"
    text = rule(lines, "x, m").replace("state:", "parameters: {beta: decay}\nstate:")
    assert code(text) == "E402"
