"""Every function of the language, by its record: values, derivatives, texts, sizes and series."""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from torch.nn import functional

from optode.calculus.expansion import Scale, expand
from optode.cli.new import starter_text
from optode.codegen.expressions import TorchPrinter
from optode.compiler import check, compile, derive
from optode.diagnostics import Located, Reporter, Source, Span
from optode.language.arrays import ONES, array_function, array_modules, in_full
from optode.language.conditions import remainder, where
from optode.language.derivative import partial
from optode.language.elementwise import Elementwise, atan2, by_formula, gelu, silu
from optode.language.function_names import ELEMENTWISE_NAMES, FEATURE_NAMES, MATRIX_NAMES
from optode.language.functions import FUNCTIONS, IN_SPECS, function_of
from optode.language.latex import to_latex
from optode.language.matrices import matmul, transposed
from optode.language.record import Function
from optode.language.symbols import step_symbol, symbol
from optode.language.text import to_text
from optode.rule.growing_states import growing_states
from optode.runtime import reductions
from optode.show.as_json import as_json
from optode.spec.expression import FUNCTIONS as READ
from optode.spec.expression import Scope, parse_expression
from optode.spec.reader import parse_spec
from optode.verification.gradients.report import verify_gradients
from optode.verification.orders.report import verify

OF_ONE = [record for record in FUNCTIONS if not record.over_features]
ELEMENTWISE = [record for record in OF_ONE if record.kind not in (where, remainder)]
OVER_FEATURES = FEATURE_NAMES
OF_VECTORS = [name for name in IN_SPECS if name not in MATRIX_NAMES]
POINTS = (0.3, 1.7, -0.4, -2.3)
U, H = symbol("u"), symbol("h")
TORCH = {"torch": torch, "functional": functional, "math": math} | {
    name: getattr(reductions, name) for name in ("dot", "total", "mean", "maximum", "minimum")
}


def each(records):
    return pytest.mark.parametrize("record", records, ids=lambda record: record.name)


def points(record):
    return [x for x in POINTS if record.domain == "real" or x > 0]


def call(record, argument):
    """A call with one argument, and bounds on both sides of 0 where it takes bounds."""
    return record.kind(argument, *([sp.S.One] if record.kind is atan2 else []))


def value(expression, x, digits=30):
    return by_formula(expression).xreplace({U: sp.Rational(str(x))}).evalf(digits)


@each(ELEMENTWISE)
def test_the_derivative_is_that_of_the_values(record):
    expression = call(record, U)
    slope = partial(expression, U)
    for x in points(record):
        with mpmath.workdps(40):
            function = sp.lambdify(U, by_formula(expression), "mpmath")
            expected = mpmath.diff(function, mpmath.mpf(str(x)))
        assert float(value(slope, x)) == pytest.approx(float(expected), abs=1e-12)


@each(ELEMENTWISE)
def test_tensors_floats_and_arrays_have_sympys_value(record):
    expression = call(record, U)
    tensors, floats = TorchPrinter().text(expression), TorchPrinter({U}).text(expression)
    arrays = array_function([U], expression, array_modules(None))
    for x in points(record):
        exact = float(value(expression, x))
        ours = eval(tensors, TORCH | {"u": torch.tensor(x, dtype=torch.float64)})
        assert ours.dtype == torch.float64
        assert ours.item() == pytest.approx(exact, rel=1e-14)
        assert eval(floats, {"math": math, "u": x}) == pytest.approx(exact, rel=1e-14)
        assert arrays(np.array([x])) == pytest.approx(exact, rel=1e-14)


@each(ELEMENTWISE)
def test_arrays_have_a_derivative_by_a_complex_step(record):
    function = array_function([U], call(record, U), array_modules(None))
    for x in points(record):
        slope = float(value(partial(call(record, U), U), x))
        step = np.imag(function(np.array([x + 1e-30j]))) / 1e-30
        assert step == pytest.approx(slope, rel=1e-12)


@each([record for record in FUNCTIONS if record.name in FEATURE_NAMES])
def test_sums_over_the_features(record):
    u, w = torch.rand(2, 3, 5, dtype=torch.float64)
    over = {"mean": torch.mean, "maximum": torch.amax, "minimum": torch.amin}
    names = [symbol("u"), symbol("w")][: record.arguments[0]]
    ours = eval(TorchPrinter().text(record.kind(*names)), TORCH | {"u": u, "w": w})
    product = u * w if len(names) == 2 else u
    expected = over.get(record.name, torch.sum)(product, -1, keepdim=True)
    assert torch.equal(ours, expected)
    arrays = array_function(names, record.kind(*names), array_modules(None))
    row = [u[0].numpy(), w[0].numpy()][: len(names)]
    assert arrays(*row) == pytest.approx(expected[0].item())


@each([r for r in FUNCTIONS if r.kind not in (where, remainder, matmul, transposed)])
def test_text_and_latex(record):
    arguments = [symbol("h"), symbol("m"), symbol("v")][: max(record.arguments)]
    expression = record.kind(*arguments)
    assert to_text(expression) == f"{record.name}({', '.join(map(str, arguments))})"
    latex = to_latex(expression)
    assert latex and latex.count("{") == latex.count("}")
    assert all(str(argument) in latex for argument in arguments)
    assert to_latex(2 * expression**2)


def parsed(text):
    reporter = Reporter()
    names = {name: symbol(name) for name in ("h", "m", "v")}
    located = Located(text, Span(Source("a.yaml", text), 0, len(text)))
    found = parse_expression(located, Scope(names, {}, READ, None), reporter)
    return found, reporter.diagnostics


@pytest.mark.parametrize("name", IN_SPECS)
def test_the_reader_reads_it(name):
    record = IN_SPECS[name]
    special = {"where": ["h > 0", "m", "v"], "norm": ["h", "1"]}
    special |= {"inv_root": ["h", "4"], "newton_schulz": ["h", "5"]}
    given = special.get(name, ["h", "m", "v"])
    for count in record.arguments:
        text = f"{name}({', '.join(given[:count])})"
        expression, diagnostics = parsed(text)
        assert not diagnostics
        assert parsed(to_text(expression))[0] == expression
        if isinstance(record, Function):
            assert function_of(expression) is record
    wrong, diagnostics = parsed(f"{name}({given[0]}, h, h, h)")
    assert wrong is None and [d.code for d in diagnostics] == ["E205"]


def test_what_only_comes_up_in_derivations_is_no_name_of_a_spec():
    internal = {record.name for record in FUNCTIONS} - set(IN_SPECS)
    assert internal == {
        "remainder",
        "logsigmoid",
        "cosh",
        "erf",
        "step",
        "reaches",
        "matmul",
        "transposed",
        "ones",
    }
    assert [d.code for d in parsed("logsigmoid(h)")[1]] == ["E204"]


@pytest.mark.parametrize("name", IN_SPECS)
def test_outside_its_domain_it_says_what_it_takes(name):
    domain = IN_SPECS[name].domain
    if domain != "real":
        (diagnostic,) = parsed(f"{name}(1 - 2)")[1]
        assert diagnostic.code == "E209" and f"`{name}` takes numbers" in diagnostic.hint
        assert [d.code for d in parsed(f"{name}(0)")[1]] == ["E209"] * (domain == "positive")


ODE = """
name: one_function
state: [h, m]
ode: |
  h' = m - {on_field}
  m' = f(t, h) - {on_states}
model:
  class: OneNODE
  parameters:
    gamma: {{init: 0.25}}
    c: {{value: 0.7}}
"""


def ode_with(name):
    """The function of the field, of the states and, unless it sums over features, of a number."""
    number = max(IN_SPECS[name].arguments)
    first = ["f(t, h)**2 + c", "m**2 + gamma*h**2 + c", "c"]
    rest = [["0.25*gamma", "2*c"], ["0.5*c", "3*gamma"], ["0.25*c", "2*c"]]
    if name == "where":
        first = ["f(t, h) > 0.1*c", "m > gamma*h and c > 0.1", "c > 0.1 or not c < 0"]
    if name == "norm":
        rest = [["1"], ["inf"], ["1"]]
    on_field, on_states, of_floats = (
        f"{name}({', '.join([a, *b][:number])})" for a, b in zip(first, rest, strict=True)
    )
    over_features = name in OVER_FEATURES
    on_states += "" if over_features else f"*{of_floats}"
    return parse_spec(ODE.format(on_field=on_field, on_states=on_states))


@pytest.mark.parametrize("name", [name for name in OF_VECTORS if name != "count"])
def test_a_module_has_sympys_vector_field_and_gradients(name):
    spec = ode_with(name)
    assert check(spec) == ()
    node = compile(spec)(lambda t, h: torch.sin(h)).double()
    h, m = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    rates = node.vector_field(torch.tensor(0.5, dtype=torch.float64), (h, m))
    equations = derive(spec).model.equations
    fields = {call: symbol("field") for e in equations for call in e.atoms(sp.Function)
              if type(call).__name__ == "Field"}  # fmt: skip
    names = [symbol(n) for n in ("h", "m", "gamma", "c", "field")]
    for equation, rate in zip(equations, rates, strict=True):
        by_rows = array_modules(-1)
        opened = in_full(equation.xreplace(fields))
        function = array_function([*names, ONES], opened, by_rows)
        x, v = (z.detach().numpy() for z in (h, m))
        expected = function(x, v, np.float64(0.25), np.float64(0.7), np.sin(x), np.ones_like(x))
        np.testing.assert_allclose(rate.detach().numpy(), expected, rtol=1e-12, atol=1e-14)
    costates = tuple(torch.rand(2, 3, 4, dtype=torch.float64))
    pulled, (bar,) = node.linearize(torch.tensor(0.5, dtype=torch.float64), (h, m))[1](costates)
    *expected, by_gamma = torch.autograd.grad(rates, (h, m, node.raw_gamma), costates)
    for ours, theirs in zip(pulled, expected, strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(bar, by_gamma, rtol=1e-12, atol=1e-12)


RULE = """
name: squashed
step_size: s
parameters: {{beta: 1 - gamma*s}}
state: [x, v]
update: |
  v[k+1] = beta*v[k] - s*{name}(grad(x[k]))
  x[k+1] = x[k] + s*v[k+1]
model:
  class: SquashedNODE
  rename: {{x: h, v: m}}
  parameters: {{gamma: {{init: 0.5, transform: softplus}}}}
  equations: {{h: "{name}(rhs)"}}
"""


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_an_activation_works_everywhere(name):
    spec = parse_spec(RULE.format(name=name))
    derivation = derive(spec, 1, 0.1)
    for form in ("text", "latex", "markdown"):
        assert name in derivation.show(form=form)
    assert f"{name}(" in str(as_json(derivation.name, derivation.stages()))
    assert f"functional.{name}(" in derive(spec).module_text
    (orders,) = verify(spec)
    assert orders.limit.passes and orders.next_order.passes and not orders.failures
    assert all(found.passes for found in verify_gradients(spec).checks)


# Sizes and series


@each([record for record in ELEMENTWISE if record.degree is not None])
def test_homogeneous(record):
    for x in POINTS:
        for a in (0.1, 7.0):
            scaled = value(call(record, U), a * x)
            assert float(scaled) == pytest.approx(
                float(a**record.degree * value(call(record, U), x))
            )


@each(ELEMENTWISE)
@pytest.mark.parametrize("end", ["at_zero", "at_infinity"])
def test_it_is_of_the_size_of_that_power(record, end):
    near, far = (Fraction(1, 10**4), Fraction(1, 10**8)) if end == "at_zero" else (10**4, 10**8)
    sizes = [abs(call(record, sp.Rational(x)).evalf(30)) for x in (near, far)]
    slope = float(sp.log(sizes[1] / sizes[0]) / sp.log(sp.Rational(far) / near))
    power = getattr(record, end)
    if power is None:
        assert abs(slope - round(slope)) > 1e-3 or abs(slope) > 100
    else:
        assert slope == pytest.approx(power, abs=1e-3)
    if end == "at_zero" and power is not None and record.degree != 0:
        assert (call(record, sp.S.Zero) == 0) == (power > 0)


@each(ELEMENTWISE)
@pytest.mark.parametrize("argument", ["small", "large"])
def test_the_series_has_the_functions_values(record, argument):
    """At an argument that vanishes with the step, and at one that does not."""
    s = step_symbol("s")
    if argument == "small" and record.domain != "real":
        return
    inner = H + s * U if argument == "large" else s * U + s**2 * H
    series = expand(call(record, inner), Scale(((s, sp.S.One, Fraction(1)),)), Fraction(3))
    at = {U: sp.Rational(3, 10), H: sp.Rational(6, 5)}
    errors = []
    for small in (sp.Rational(1, 100), sp.Rational(1, 200)):
        terms = sum(c * small ** sp.Rational(e) for e, c in series.terms)
        exact = by_formula(call(record, inner)).xreplace({**at, s: small})
        errors.append(abs(float((by_formula(terms).xreplace(at) - exact).evalf(30))))
    assert errors[0] < 1e-15 or errors[1] / errors[0] < 0.15  # 1/8 of an error of third order


@each(ELEMENTWISE)
def test_borders_are_where_it_is_not_smooth(record):
    slopes, values = [], []
    for x in (-1e-9, 1e-9) if record.domain == "real" else (1e-9, 3e-9):
        bound = 1 if record.name == "hardtanh" else 0
        slopes.append(float(value(partial(call(record, U), U), bound + x)))
        values.append(float(value(call(record, U), bound + x)))
    jumps = abs(values[1] - values[0]) > 0.5 and record.domain == "real"
    kinks = abs(slopes[1] - slopes[0]) > 0.5 and record.domain == "real"
    assert jumps == (record.smoothness in ("jump", "contact"))
    assert kinks == (record.smoothness == "kink")


def test_a_state_that_grows_through_a_function_of_the_language():
    spec = parse_spec(
        "name: growing\nstep_size: s\nstate: [x, w]\nstart: {w: 1}\nupdate: |\n"
        "  w[k+1] = softplus(w[k]) + relu(w[k]) - w[k] + sigmoid(w[k])\n"
        "  x[k+1] = x[k] - s*grad(x[k])/w[k]\n"
    )
    assert growing_states(derive(spec).rule) == {}


# The records themselves


def fields_of(record):
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(Function)}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Function)])
def test_a_forgotten_field_is_an_error(field):
    given = fields_of(IN_SPECS["silu"])
    assert Function(**given) == IN_SPECS["silu"]
    del given[field]
    with pytest.raises(TypeError, match=field):
        Function(**given)


class without_formula(Elementwise):
    nargs = 1

    def fdiff(self, argindex=1):
        return sp.S.One


class without_derivative(Elementwise):
    nargs = 1

    @classmethod
    def formula(cls, u):
        return u


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": without_formula}, "needs a method formula"),
        ({"kind": without_derivative}, "needs a method fdiff"),
        ({"kind": sp.sinh}, "text for Python floats"),
        ({"torch": "torch.sinh"}, "text for tensors"),
        ({"arguments": ()}, "no arguments"),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_an_incomplete_record_is_an_error(change, message):
    with pytest.raises(TypeError, match=message):
        Function(**fields_of(IN_SPECS["silu"]) | change)


def test_activations_are_those_of_pytorch():
    assert value(silu(U), 0.3, 15) == pytest.approx(
        functional.silu(torch.tensor(0.3).double()).item()
    )
    assert value(gelu(U), 0.3, 15) == pytest.approx(
        functional.gelu(torch.tensor(0.3).double()).item()
    )


# Where people read of them


def test_the_guide_lists_every_function():
    guide = Path("docs/guide/writing-specs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^|]*)` \| [^|]*\|$", guide, flags=re.M)
    listed = [name for row in rows for name in re.findall(r"[a-z]\w*", row.split("(")[0])]
    listed += re.findall(r"min(?=\(u, v\))|dot(?=\(u, v\))", guide)
    assert set(IN_SPECS) <= set(listed)


def test_the_readme_the_starter_and_the_messages_list_every_function():
    readme = Path("README.md").read_text(encoding="utf-8")
    assert f"`{' '.join(ELEMENTWISE_NAMES)}`" in readme
    assert f"# Functions: {' '.join(IN_SPECS)}\n" in starter_text("wave")
    assert f"functions: {', '.join(IN_SPECS)}" in parsed("erfinv(h)")[1][0].hint
