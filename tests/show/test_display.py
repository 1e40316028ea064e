"""What a derivation looks like: text, LaTeX, Markdown, and the JSON that other programs read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import sympy as sp
from shipped import THOROUGH

from optode.compiler import derive
from optode.language.symbols import Gradient, step_symbol, symbol
from optode.rule.update_rule import update_rule
from optode.show.as_json import as_json
from optode.show.dialect import latex_words, markdown_words
from optode.show.equations import show
from optode.spec.reader import parse_spec, read_spec
from optode.spec.shipped import find_spec

HEAVY_BALL = """\
Heavy ball (Polyak 1964)

Update rule heavy_ball, step size s
  v[k+1] = beta*v[k] - s*g(x[k])
  x[k+1] = x[k] + v[k+1]
  where
    beta = 1 - gamma*sqrt(s)

Continuous limit
  x' = v
  v' = -gamma*v - g(x)
  as one equation
    x'' = -gamma*x' - g(x)
  in the scaling
    t    = k*sqrt(s)
    v[k] = sqrt(s)*v(t)
  starting at
    x(0) = x0
    v(0) = 0

Neural ODE HBNODE, f a network, t from 0 to 1
  h' = m
  m' = -gamma*m + f(t, h)
  with parameters
    gamma = sigmoid(raw_gamma), learned from raw_gamma = -3
  starting at
    h(0) = given
    m(0) = 0

Adjoint system of HBNODE, backwards in time, L the loss
  a_h' = -JT(a_m)
  a_m' = gamma*a_m - a_h
  ending at
    a_h(T) = dL/dh(T)
    a_m(T) = dL/dm(T)
  giving the gradients of the parameters
    dL/dgamma = int sum(-m*a_m) dt
  volume, z all states of N elements each
    tr(dz'/dz)        = -N*gamma
    det(dz(T)/dz(t0)) = exp(-N*gamma*(T - t0))
  where
    JT(c) = the transposed Jacobian of f, applied to c

Operators
  int sum(u) dt = the integral over the span of the sum over all samples and values
"""

every_spec = pytest.mark.parametrize("name", THOROUGH)


def as_document(name):
    derivation = derive(name)
    return as_json(derivation.spec.name.text, derivation.stages())


def test_text_of_the_heavy_ball():
    derivation = derive("heavy_ball")
    assert derivation.show() == str(derivation) == HEAVY_BALL
    assert repr(derivation) == HEAVY_BALL.strip()


def test_one_stage():
    assert derive("heavy_ball").show("limit").startswith("Heavy ball (Polyak 1964)\n\nContinuous")
    assert "Neural ODE" not in derive("heavy_ball").show("limit")


def test_json_contract_of_the_heavy_ball():
    """The example of the specification, key for key; further keys may be added."""
    document = as_document("heavy_ball")
    assert document["name"] == "heavy_ball"
    assert document["time"] == {"step": "sqrt(s)", "offset": "0"}
    limit, model, adjoint = (document[stage] for stage in ("limit", "model", "adjoint"))
    assert limit["states"] == ["x", "v"]
    assert limit["equations"] == {"x": "v", "v": "-gamma*v - g(x)"}
    assert limit["initial"] == {"x": "x0", "v": "0"}
    assert limit["singular_times"] == []
    assert model["class"] == "HBNODE"
    assert model["states"] == ["h", "m"]
    assert model["equations"] == {"h": "m", "m": "-gamma*m + f(t, h)"}
    assert adjoint["equations"] == {"a_h": "-JT(a_m)", "a_m": "gamma*a_m - a_h"}


def test_json_additions():
    document = as_document("heavy_ball")
    assert document["rule"]["update"] == {
        "v[k+1]": "beta*v[k] - s*g(x[k])",
        "x[k+1]": "x[k] + v[k+1]",
    }
    assert document["model"]["parameters"] == {"gamma": {"init": -3.0, "transform": "sigmoid"}}
    assert document["adjoint"]["quadratures"] == {"gamma": "-m*a_m"}


@every_spec
def test_json_is_plain_data(name):
    document = as_document(name)
    assert json.loads(json.dumps(document)) == document
    emitted = {"model", "adjoint"} if read_spec(find_spec(name)).has_model else set()
    assert {"name", "time", "limit"} | emitted <= set(document)


def test_json_of_an_ode_has_no_step():
    document = as_document("second_order")
    assert document["time"] == {"step": None, "offset": "0"}
    assert "rule" not in document
    assert document["adjoint"]["equations"] == {"a_x": "-JT_x(a_v)", "a_v": "-a_x - JT_v(a_v)"}


def test_spec_without_a_model():
    text = "name: sgd\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*grad(x[k])\n"
    derivation = derive(parse_spec(text))
    assert set(as_json("sgd", derivation.stages())) == {"name", "rule", "time", "limit"}
    assert derivation.show().endswith("starting at\n    x(0) = x0\n")


def test_singular_times_are_shown():
    assert "  singular at\n    t = 0\n" in derive("nesterov").show("limit")
    assert as_document("nesterov")["limit"]["singular_times"] == ["0"]


def test_equation_of_second_order():
    assert "  as one equation\n    x'' = -3*x'/t - g(x)\n" in derive("nesterov").show("limit")
    latex = derive("nesterov").show("limit", form="latex")
    assert r"\ddot{x} &= - \frac{3 \, \dot{x}}{t} - g\left(x\right)" in latex
    assert as_document("nesterov")["limit"]["second_order"] == "-3*x_dot/t - g(x)"


def test_fast_states_are_shown():
    text = """
name: fixed_momentum
step_size: s
parameters: {beta: fixed}
state: [x, v]
update: |
  v[k+1] = beta*v[k] - s*grad(x[k])
  x[k+1] = x[k] + v[k+1]
"""
    limit = derive(parse_spec(text)).limit
    assert "  with the fast states\n    v = -s*g(x)/(1 - beta)\n" in show([limit])
    assert as_json("", [limit])["limit"]["fast_states"] == {"v": "-s*g(x)/(1 - beta)"}


def test_rule_reads_like_an_algorithm():
    lines = derive("adam_bias_corrected").show("rule").splitlines()
    assert "  m_hat  = m[k+1]/(1 - beta1**(k + 1))" in lines
    assert "  x[k+1] = x[k] - lr*m_hat/(sqrt(v_hat) + eps)" in lines
    assert "  y       = x[k] + (k - 1)*dx[k]/(k + 2)" in derive("nesterov").show("rule")


def test_rule_made_in_python_with_a_start():
    x, v, s = symbol("x"), symbol("v"), step_symbol("s")
    step = {v: v - s * Gradient(x), x: x + s * v}
    rule = update_rule("leapfrog", s, [x, v], step, start={v: sp.Rational(1, 10)})
    assert show([rule]).endswith("  starting at\n    v[0] = 0.1\n")
    assert "v_{0} &= 0.1" in show([rule], "latex")


def test_latex_is_a_run_of_align_environments():
    text = derive("adam_bias_corrected").show("rule", form="latex")
    assert text.startswith("% Adam with bias correction (Kingma and Ba 2015)\n")
    assert "Update rule adam\\_bias\\_corrected, step size lr\n\\begin{align*}\n" in text
    assert r"x_{k+1} &= x_{k} - \frac{\mathit{lr} \, \hat{m}}{\sqrt{\hat{v}} + \varepsilon}" in text
    assert r"\beta_{2} \, v_{k} + \left(1 - \beta_{2}\right) \, g\left(x_{k}\right)^{2}" in text


def test_latex_of_constants():
    assert r"\varepsilon &= 1 \cdot 10^{-8}\text{, fixed}" in derive("adam").show(form="latex")


@every_spec
@pytest.mark.parametrize("form", ["latex", "markdown"])
def test_mathematics_is_balanced(name, form):
    text = derive(name).show(form=form)
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")
    assert text.count(r"\begin") == text.count(r"\end")
    assert not re.search(r"[A-Za-z]_\{[^{}]*\}_", text), "a double subscript"
    assert not re.search(r"(At|Gradient|Field|FieldTransposed)[({\\]", text)


def test_markdown_for_notebooks():
    text = derive("heavy_ball")._repr_markdown_()
    assert text.startswith("### Heavy ball (Polyak 1964)\n\n**Update rule heavy\\_ball")
    assert "$$\n\\begin{aligned}\n  \\dot{h} &= m \\\\\n  \\dot{m} &= - \\gamma \\, m + f" in text
    assert text.count("$$") % 2 == 0


def test_notebooks_show_the_error_of_a_stage():
    text = "name: bad\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - q*grad(x[k])\n"
    assert "error E203: unknown name `q`" in derive(parse_spec(text))._repr_markdown_()


def test_words_are_no_markup():
    assert latex_words("50% of a_b & {c}") == r"50\% of a\_b \& \{c\}"
    assert markdown_words("<b> *x* $y$ a_b") == r"\<b\> \*x\* \$y\$ a\_b"


def test_display_does_not_depend_on_the_hash_seed():
    code = (
        "from optode.compiler import derive\n"
        "for name in ('adam_bias_corrected', 'generalized_heavy_ball', 'second_order'):\n"
        "    for form in ('text', 'latex'): print(derive(name).show(form=form))"
    )
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        for seed in "12"
    ]
    assert runs[0].stdout == runs[1].stdout
