"""The emitted text, and what the modules do at run time whatever the model."""

from __future__ import annotations

import ast
import copy
import gc
import itertools
import pickle
import subprocess
import sys
import tempfile
import warnings

import pytest
import sympy as sp
import torch
from fields import CountingField
from torch import nn
from torch.utils.checkpoint import checkpoint

from optode.adjoint.adjoint import adjoint_system
from optode.codegen.in_memory import class_from_text
from optode.codegen.module import render
from optode.compiler import derive
from optode.language.elementwise import relu, sigmoid
from optode.language.symbols import TIME, Field, symbol
from optode.model.following import derive_following
from optode.model.model import Initial, LearnedParameter, NeuralODE

h, m, v, x = map(symbol, "hmvx")
gamma, xi, eps = map(symbol, ["gamma", "xi", "eps"])
f = Field(TIME, h)
GIVEN, ZERO = Initial("given"), Initial("zero")
GRADIENTS = ("discrete", "adjoint", "autograd")
every_gradient = pytest.mark.parametrize("gradient", GRADIENTS)
pytestmark = pytest.mark.usefixtures("float64")


def model(equations, parameters=(), initial=None, **changes):
    """A neural ODE written by hand, the states in the order of the equations."""
    known = {"title": "A title", "references": ("A reference",), "span": (0.0, 1.0)}
    return NeuralODE(
        name="hand",
        class_name="Hand",
        states=tuple(equations),
        parameters=parameters,
        equations=tuple(map(sp.sympify, equations.values())),
        initial=initial or (GIVEN, *[ZERO] * (len(equations) - 1)),
        singular_times=changes.pop("singular_times", ()),
        **known | changes,
    )


HEAVY_BALL = model(
    {h: m, m: f - gamma * m}, (LearnedParameter(gamma, init=-3.0, transform="sigmoid"),)
)
numbers = itertools.count()


def text_of(neural_ode):
    system = adjoint_system(neural_ode)
    following = derive_following(system.model)
    return render(system, following, spec_name="hand.yaml", sha256="0" * 64, version="0.0")


def class_of(neural_ode):
    """Each in a module of its own, under which pickle finds it."""
    return class_from_text(text_of(neural_ode), f"hand{next(numbers)}", neural_ode.class_name)


HBNODE = class_of(HEAVY_BALL)


def gradients(node, states, times=None):
    """Gradients of a loss on all states at all times: of the initial states, then the parameters."""
    states = tuple(z.detach().clone().requires_grad_() for z in states)
    solution = node.integrate(states, times)
    loss = sum(torch.sin((i + 1) * z).sum() for i, z in enumerate(solution.states))
    known = [p for p in node.parameters() if p.requires_grad]
    return torch.autograd.grad(loss, (*states, *known), materialize_grads=True), solution.stats


def assert_close(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def ruff(*arguments, text):
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        "--isolated",
        "--target-version",
        "py310",
        "-",
    ]
    # in a folder without optode, which is then a package like any other
    return subprocess.run(
        command, input=text, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False
    )


# Text

NASTY = [
    '"""',
    "\\",
    'ends with "',
    '"""); import os',
    "\\N{x}",
    "a\nb\r\u2028c\x00",
    "{{ 1 }}",
    "'" * 3,
]
FIELD_TWICE = Field(TIME, Field(TIME, h) + m)
MODELS = {
    "heavy_ball": HEAVY_BALL,
    "one state": model({h: f}),
    "no field": model({h: -h}),
    "constants": model(
        {h: gamma, m: 0, v: eps, x: TIME**2 + gamma},
        (LearnedParameter(gamma, init=0.1), LearnedParameter(eps, value=1e-8)),
    ),
    "field in field": model({h: FIELD_TWICE, m: f - m}),
    "field at a point": model({h: m, m: Field(TIME, h + gamma * m)}, HEAVY_BALL.parameters),
    "fixed only": model(
        {h: m * sp.sqrt(eps) - sigmoid(eps) * f, m: relu(eps) * h},
        (LearnedParameter(eps, value=0.5),),
    ),
    "starts": model(
        {h: m, m: f, v: -v, x: h},
        initial=(
            GIVEN,
            Initial("expression", -f * TIME),
            Initial("expression", f**2),
            Initial("expression", sp.Integer(2)),
        ),
    ),
    "layers": model({h: m, m: f, v: -v}, initial=(GIVEN, Initial("linear"), Initial("learned"))),
    "per feature": model(
        {h: m, m: f - gamma * m - xi * h, v: eps - h},
        tuple(LearnedParameter(p, init=0.1, per_feature=True) for p in (gamma, xi, eps)),
        (GIVEN, Initial("expression", gamma * h), Initial("learned")),
    ),
    "parameter of the start": model(
        {h: m, m: f}, HEAVY_BALL.parameters, (GIVEN, Initial("expression", gamma * f))
    ),
    "functional. in the title": model({h: f}, title="functional. in the title"),
    "given": model({h: m, m: f}, initial=(GIVEN, GIVEN)),
    "singular": model({h: f / TIME}, singular_times=(sp.S.Zero,), span=(1.0, 2.0)),
    "many states": model(
        {symbol(f"state_number_{i}"): -(symbol(f"state_number_{i}") ** 2) for i in range(12)}
    ),
    "long": model(
        {
            h: sum(sp.sqrt(h**2 + i) * sp.exp(-m / (h + i)) for i in range(1, 7)) * f / 100,
            m: (h + m + 1) ** 3 / (f + 2) ** 5,
        },
        title="A title that goes on and on " * 9,
        references=("A reference that goes on and on " * 9,) * 3,
    ),
    "nasty": model({h: f}, title=" ".join(NASTY), references=tuple(NASTY)),
    "untitled": model({h: f}, title="", references=()),
    "ambiguous": model(
        {h: symbol("l"), symbol("l"): f - symbol("O")},
        (LearnedParameter(symbol("O"), init=0.0),),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_text_is_its_own_ruff_format(name):
    """Modules of shipped specs are in generated/, which the house rules check."""
    text = text_of(MODELS[name])
    formatted = ruff("format", text=text)
    assert formatted.returncode == 0, formatted.stderr
    assert formatted.stdout == text
    checked = ruff("check", "--select", "E,F,W,I,UP,B", "--ignore", "B905", text=text)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("field", ["title", "references"])
@pytest.mark.parametrize("nasty", [*NASTY, " ".join(NASTY)])
def test_no_string_leaves_the_docstring(field, nasty):
    value = nasty if field == "title" else (nasty, "z" + nasty)
    nasty_model = model({h: f}, **{field: value})
    skeletons = []
    for each in (MODELS["one state"], nasty_model):
        tree = ast.parse(text_of(each))
        docstring = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Hand")
        docstring.body.pop(0)
        skeletons.append(ast.dump(tree))
    assert skeletons[0] == skeletons[1]


def test_strings_are_still_readable():
    node = class_of(model({h: f}, title='A "quoted" """title""" \\ here', references=("x\ny",)))
    assert 'A "quoted" """title""" \\ here' in node.__doc__
    assert "x y" in node.__doc__


def test_file_imports_only_torch_and_the_runtime():
    tree = ast.parse(text_of(HEAVY_BALL))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == {"torch", "optode.runtime"}


def test_text_is_the_same_under_any_hash_seed():
    code = "from optode.compiler import derive; print(derive('adam').module_text, end='')"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(texts) == 1
    assert texts.pop() == derive("adam").module_text


# The three gradients


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("nasty", "untitled")])
def test_gradients_agree_for_every_form_of_model(name):
    make = class_of(MODELS[name])
    span = MODELS[name].span
    times = torch.tensor([0.0, 0.3, 0.45, 1.0]) + span[0]
    network = CountingField(3, 5)
    states = [torch.rand(2, 3) + 0.5 for _ in make.state_names]
    found, settings = {}, {"rtol": 1e-10, "atol": 1e-10}
    if name == "per feature":
        settings["features"] = 3
    for gradient in GRADIENTS:
        node = make(network, span, gradient=gradient, **settings)
        found[gradient], _ = gradients(node, states, times)
    assert_close(found["discrete"], found["autograd"], 1e-9)
    assert_close(found["adjoint"], found["autograd"], 1e-6)


METHODS = [
    ("dopri5", None),
    ("dopri8", None),
    ("bosh3", None),
    ("euler", None),
    ("midpoint", {"step_size": 0.3}),
    ("heun2", {"step_size": 0.07}),
    ("heun3", {"step_size": 0.1}),
    ("rk4", {"step_size": 0.1}),
    ("rk4", {"steps": 3}),
    ("dopri5", {"steps": 3}),
    ("adaptive_heun", {"first_step": 0.2}),
    ("torchdiffeq:rk4", {"step_size": 0.1}),
    ("torchdiffeq:rk4", {"steps": 3}),
    ("torchdiffeq:dopri5", None),
    ("torchdiffeq:bosh3", {"first_step": 0.1}),
    ("dopri5", {"first_step": 0.1}),  # the step ends at an observation by itself
    ("dopri5", {"max_step": 0.1}),
    ("dopri5", {"step_t": torch.tensor([0.05, 0.5])}),
    ("dopri5", {"jump_t": [0.05, 0.5]}),
]


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_discrete_is_autograd_for_every_one_step_method(method, options):
    network, states = CountingField(3, 5), (torch.randn(4, 3), torch.randn(4, 3))
    times = torch.tensor([0.0, 0.1, 0.45, 0.8])
    found = [
        gradients(HBNODE(network, method=method, gradient=g, options=options), states, times)[0]
        for g in ("discrete", "autograd")
    ]
    assert_close(*found, 1e-11)


@pytest.mark.parametrize(
    "method",
    [
        "explicit_adams",
        "implicit_adams",
        "fixed_adams",
        "torchdiffeq:adaptive_heun",
        "torchdiffeq:fehlberg2",
        "scipy_solver",
    ],
)
def test_other_methods_are_refused_or_differentiate(method):
    with pytest.raises(ValueError, match="adjoint"):
        HBNODE(CountingField(3, 5), method=method)
    network, states = CountingField(3, 5), (torch.randn(4, 3), torch.randn(4, 3))
    times = torch.linspace(0.0, 1.0, 41)
    settings = {"method": method, "rtol": 1e-5, "atol": 1e-5}
    node = HBNODE(network, gradient="adjoint", **settings)
    reference, _ = gradients(HBNODE(network, rtol=1e-9, atol=1e-9), states, times)
    assert_close(gradients(node, states, times)[0], reference, 1e-2)
    if method != "scipy_solver":
        node.gradient = "autograd"
        assert_close(gradients(node, states, times)[0], reference, 1e-2)


@every_gradient
def test_frozen_unused_and_shared_parameters(gradient):
    network = CountingField(3, 5)
    network.outer.weight = nn.Parameter(network.inner.weight.T.detach().clone())
    network.twin = network.inner  # registered twice
    network.unused = nn.Parameter(torch.ones(2))
    network.inner.bias.requires_grad_(False)
    node = HBNODE(network, gradient=gradient)
    node.raw_gamma.requires_grad_(False)
    h1 = node(torch.randn(2, 3))
    h1.sum().backward()
    assert network.inner.bias.grad is None
    assert node.raw_gamma.grad is None
    assert network.unused.grad is None or not network.unused.grad.any()
    reference = HBNODE(network, gradient="autograd")
    assert network.inner.weight.grad.abs().sum() > 0
    assert reference(torch.randn(2, 3)).shape == (2, 3)


@every_gradient
@pytest.mark.parametrize("field", [lambda t, h: torch.sin(h), lambda t, h: torch.ones_like(h)])
def test_a_field_may_be_a_function(gradient, field):
    node = HBNODE(field, gradient=gradient, rtol=1e-9, atol=1e-9)
    states = (torch.randn(2, 3), torch.randn(2, 3))
    expected, _ = gradients(HBNODE(field, gradient="autograd", rtol=1e-9, atol=1e-9), states)
    assert_close(gradients(node, states)[0], expected, 1e-6)


class Conditioned(nn.Module):
    """A field that reads a tensor which is no parameter of its own."""

    def __init__(self, context):
        super().__init__()
        self.context = context

    def forward(self, t, h):
        return torch.sin(h) * self.context


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
@pytest.mark.parametrize("kind", ["leaf", "output of a network", "closure"])
def test_tensors_that_no_gradient_would_reach_are_refused(gradient, kind):
    network = nn.Linear(3, 3)
    fields = {
        "leaf": lambda: Conditioned(torch.ones(3, requires_grad=True)),
        "output of a network": lambda: Conditioned(network(torch.ones(3))),
        "closure": lambda: lambda t, h: network(h),
    }
    node = HBNODE(fields[kind](), gradient=gradient)
    with pytest.raises(ValueError, match=r'register it, .*gradient="autograd"'):
        node(torch.randn(2, 3, requires_grad=True))
    node.gradient = "autograd"
    node(torch.randn(2, 3, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_second_derivatives_name_the_remedy(gradient):
    h0 = torch.randn(2, 3, requires_grad=True)
    node = HBNODE(CountingField(3, 5), gradient=gradient)
    with pytest.raises(RuntimeError, match='gradient="autograd"'):
        torch.autograd.grad(node(h0).sum(), h0, create_graph=True)


def test_autograd_has_second_derivatives():
    node = HBNODE(
        CountingField(3, 5), method="rk4", options={"step_size": 0.5}, gradient="autograd"
    )
    states = tuple(torch.randn(1, 3, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradgradcheck(lambda *z: node.vector_field(torch.tensor(0.5), z), states)
    assert torch.autograd.gradgradcheck(lambda *z: node(z), states)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_parameters_changed_before_backward_are_noticed(gradient):
    node = HBNODE(CountingField(3, 5), gradient=gradient)
    h1 = node(torch.randn(2, 3))
    with torch.no_grad():
        node.field.inner.weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h1.sum().backward()


def test_a_graph_can_be_kept_and_used_again():
    h0 = torch.randn(2, 3, requires_grad=True)
    loss = HBNODE(CountingField(3, 5))(h0).sum()
    first = torch.autograd.grad(loss, h0, retain_graph=True)
    assert_close(first, torch.autograd.grad(loss, h0), 0.0)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_saved_tensors_may_be_moved_or_recomputed(gradient):
    node, h0 = HBNODE(CountingField(3, 5), gradient=gradient), torch.randn(2, 3)
    known = list(node.parameters())
    expected = torch.autograd.grad(node(h0).sum(), known)
    with torch.autograd.graph.save_on_cpu():
        h1 = node(h0)
    assert_close(torch.autograd.grad(h1.sum(), known), expected, 1e-12)
    h1 = checkpoint(node, h0, use_reentrant=False)
    assert_close(torch.autograd.grad(h1.sum(), known), expected, 1e-12)


@every_gradient
def test_a_solve_leaves_nothing_behind(gradient):
    node = HBNODE(CountingField(3, 5), gradient=gradient)
    node(torch.randn(2, 3)).sum().backward()
    gc.collect()
    gc.disable()
    try:
        before = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
        for _ in range(3):
            node(torch.randn(2, 3)).sum().backward()
        assert sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()) <= before
    finally:
        gc.enable()


# Statistics and callbacks


@every_gradient
@pytest.mark.parametrize(("method", "options"), [("dopri5", None), ("rk4", {"step_size": 0.1})])
def test_statistics_are_the_calls_of_the_field(gradient, method, options):
    network, h0 = CountingField(3, 5), torch.randn(2, 3)
    settings = {**(options or {}), "keep": 0}  # the way back evaluates again
    node = HBNODE(network, method=method, gradient=gradient, options=settings)
    solution = node.integrate(h0)
    stats = solution.stats
    assert stats.forward_nfe == network.calls > 0
    assert stats.accepted == (10 if method == "rk4" else stats.accepted) > 0
    assert stats.backward_nfe == 0
    network.calls = 0
    solution.states[0][-1].sum().backward()
    assert stats.backward_nfe > 0
    if gradient != "autograd":  # which runs VJPs of the evaluations it has
        assert stats.backward_nfe == network.calls
    assert stats.method == method
    counts = ("forward_nfe", "backward_nfe", "accepted", "rejected", "repeated")
    assert all(type(getattr(stats, count)) is int for count in counts)
    assert node.integrate(h0).stats.forward_nfe == stats.forward_nfe
    assert node.integrate(h0).stats is not stats


def test_statistics_count_a_start_that_calls_the_field():
    network = CountingField(3, 5)
    solution = class_of(MODELS["starts"])(network).integrate(torch.randn(2, 3))
    assert solution.stats.forward_nfe == network.calls


def test_rejected_steps_are_counted():
    node = HBNODE(CountingField(3, 5), options={"first_step": 1.0}, rtol=1e-9, atol=1e-9)
    assert node.integrate(10 * torch.randn(2, 3)).stats.rejected > 0


class Listener(HBNODE):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.heard = []

    def callback_step(self, t, states, dt):
        self.heard.append("step")

    def callback_accept_step(self, t, states, dt):
        assert [z.shape for z in states] == [(2, 3), (2, 3)]
        self.heard.append("accept")

    def callback_step_adjoint(self, t, states, dt):
        self.heard.append("adjoint step")


def test_callbacks_are_passed_through():
    node = Listener(CountingField(3, 5), gradient="adjoint")
    solution = node.integrate(torch.randn(2, 3))
    assert node.heard.count("accept") == solution.stats.accepted
    assert node.heard.count("step") == solution.stats.accepted + solution.stats.rejected
    assert "adjoint step" not in node.heard
    solution.states.h[-1].sum().backward()
    assert "adjoint step" in node.heard
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed = Listener(CountingField(3, 5), method="rk4", options={"step_size": 0.25})
        fixed(torch.randn(2, 3))
    assert fixed.heard == ["step"] * 4


# Shapes, dtypes, times


@every_gradient
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(gradient, dtype):
    for shape in [(3,), (2, 3), (2, 4, 5, 3)]:
        node = HBNODE(CountingField(3, 5), gradient=gradient).to(dtype)
        h0 = torch.randn(shape, dtype=dtype, requires_grad=True)
        times = torch.tensor([0.0, 0.1, 0.7], dtype=torch.float64)
        trajectory = node(h0, times)
        assert trajectory.shape == (3, *shape)
        assert trajectory.dtype == dtype
        assert torch.equal(trajectory[0], h0)
        trajectory.sum().backward()
        assert h0.grad.shape == shape
        solution = node.integrate(h0)
        assert solution.times.dtype == dtype
        assert type(solution.states).__name__ == "States"
        torch.testing.assert_close(node(h0), solution.states.h[-1])


def test_times_may_start_late_and_be_few():
    node, h0 = (
        HBNODE(CountingField(3, 5), span=(0.0, 0.1), rtol=1e-10, atol=1e-10),
        torch.randn(2, 3),
    )
    assert node(h0, torch.tensor([0.0])).shape == (1, 2, 3)
    late = node(h0, torch.tensor([0.05, 0.1]))
    torch.testing.assert_close(late, node(h0, torch.tensor([0.0, 0.05, 0.1]))[1:])
    node.float()
    node.rtol = node.atol = 1e-5
    assert node(h0.float(), torch.tensor([0.1])).shape == (1, 2, 3)  # 0.1 in float32 is above 0.1


def test_the_result_may_be_changed_in_place():
    node, t = HBNODE(CountingField(3, 5)), torch.tensor([0.0, 1.0])
    h0 = torch.randn(2, 3, requires_grad=True)
    (expected,) = torch.autograd.grad((2.0 * node(h0, t)).square().sum(), h0)
    trajectory = node(h0, t)
    trajectory *= 2.0
    (found,) = torch.autograd.grad(trajectory.square().sum(), h0)
    torch.testing.assert_close(found, expected)


def test_without_gradients_no_step_is_kept():
    node = HBNODE(CountingField(3, 5))
    with torch.no_grad():
        solution = node.integrate(torch.randn(2, 3))
    assert not solution.states.h.requires_grad
    with torch.inference_mode():
        assert node(torch.randn(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4, 4)])
def test_parameters_of_each_feature(shape):
    """m' = f - gamma m with one gamma a channel, typed out; its gradient by autograd."""
    make = class_of(MODELS["per feature"])
    with pytest.raises(ValueError, match="give features"):
        make(CountingField(3, 5))
    node = make(lambda t, h: torch.sin(h), features=3)
    assert node.raw_gamma.shape == node.gamma.shape == (3,)
    with torch.no_grad():
        for parameter in (node.raw_gamma, node.raw_xi, node.raw_eps):
            parameter.copy_(torch.randn(3))
    h, m, v = (torch.randn(shape) for _ in range(3))
    column = (3,) if len(shape) < 3 else (3, 1, 1)
    gamma, xi, eps = (p.view(column) for p in (node.raw_gamma, node.raw_xi, node.raw_eps))
    expected = (m, torch.sin(h) - gamma * m - xi * h, (eps - h).expand(shape))
    time, costates = torch.tensor(0.3), tuple(torch.randn(shape) for _ in range(3))
    assert_close(node.vector_field(time, (h, m, v)), expected, 1e-14)
    known = (node.raw_gamma, node.raw_xi, node.raw_eps)
    bars = node.linearize(time, (h, m, v))[1](costates)[1]
    assert_close(bars, torch.autograd.grad(expected[1:], known, costates[1:]), 1e-13)
    assert_close([node.initial_states(h).m], [gamma * h], 1e-14)


def test_learned_and_linear_starts():
    make = class_of(MODELS["layers"])
    node = make(CountingField(3, 5), features=3)
    for shape in [(3,), (2, 3), (2, 3, 4, 4)]:
        h0 = torch.randn(shape)
        states = node.initial_states(h0)
        assert [z.shape for z in states] == [shape] * 3
        axis = min(1, h0.ndim - 1)
        expected = torch.tensordot(h0, node.initial_m.weight, ([axis], [1])).movedim(-1, axis)
        bias = node.initial_m.bias.view(-1, *[1] * (h0.ndim - 1 - axis))
        torch.testing.assert_close(states.m, expected + bias)
    node(torch.randn(2, 3)).sum().backward()
    assert node.initial_m.weight.grad.any()
    with pytest.raises(ValueError, match="features=3"):
        node(torch.randn(2, 4))
    with pytest.raises(ValueError, match="features=None"):
        make(CountingField(3, 5))(torch.randn(2, 3))


# What is refused


def same(*_):
    return torch.ones(2, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient": "exact"}, "gradient must be in .*discrete.*'exact'"),
        ({"method": "rk45"}, "method must be one of .*dopri5.*'rk45'"),
        ({"span": (1.0, 1.0)}, r"span must end after its start, got \(1.0, 1.0\)"),
        ({"options": {"grid_constructor": None}}, "options must be in .*'jump_t'"),
        ({"method": "torchdiffeq:dopri5", "options": {"jump_t": torch.ones(1)}}, "jump_t"),
        ({"method": "torchdiffeq:rk45"}, "method must be one of"),
        ({"method": "scipy:rk4"}, "method must be one of"),
        (
            {"method": "rk4", "options": {"step_size": 0.0}},
            "step_size must be a finite number above 0",
        ),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        HBNODE(same, **settings)


Z = torch.zeros(2, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("states", "t", "message"),
    [
        (Z, torch.tensor([0.5, 0.5]), "strictly increasing"),
        (Z, torch.tensor([0.5, 0.1]), "strictly increasing"),
        (Z, torch.tensor([0.0, float("nan")]), "strictly increasing"),
        (Z, torch.tensor([0.0, 1.5]), r"in the span \(0.0, 1.0\), got \(0.0, 1.5\)"),
        (Z, torch.tensor([-0.5, 0.5]), "in the span"),
        (Z, torch.tensor(0.5), "vector"),
        (Z, torch.tensor([]), "vector"),
        ((Z,), None, r"\('h', 'm'\), got 1"),
        ((Z, Z, Z), None, "got 3"),
        ((Z, torch.zeros(3, dtype=torch.float64)), None, "one shape"),
        ((Z, Z.float()), None, "one shape, dtype"),
        (torch.zeros(2, 3, dtype=torch.long), None, "floating-point"),
    ],
)
def test_states_and_times_that_do_not_fit(states, t, message):
    with pytest.raises(ValueError, match=message):
        HBNODE(same).integrate(states, t)


@pytest.mark.parametrize("wrong", [lambda t, h: h[0], lambda t, h: (h, h), lambda t, h: 1.0])
def test_a_field_of_another_shape_is_refused(wrong):
    with pytest.raises(ValueError, match=r"field must return"):
        HBNODE(wrong)(torch.zeros(2, 3))


def test_a_span_with_a_singular_time_is_refused():
    make = class_of(MODELS["singular"])
    for span in [(0.0, 1.0), (-1.0, 1.0), (-1.0, 0.0)]:
        with pytest.raises(ValueError, match="start later"):
            make(same, span=span)
    assert make(same, span=(0.1, 1.0)).span == (0.1, 1.0)


def test_a_state_without_a_start_has_to_be_given():
    make = class_of(MODELS["given"])
    with pytest.raises(ValueError, match="h, m"):
        make(same)(Z)
    assert make(same)((Z, Z)).shape == (2, 3)


# Copies


def test_copies_and_pickles():
    node = HBNODE(CountingField(3, 5), span=(0, 2))
    assert node.span == (0.0, 2.0)
    assert all(type(end) is float for end in node.span)
    h0 = torch.randn(2, 3)
    for twin in (copy.deepcopy(node), pickle.loads(pickle.dumps(node))):
        assert torch.equal(twin(h0), node(h0))
    with torch.no_grad():
        solution = node.integrate(h0)
    assert torch.equal(pickle.loads(pickle.dumps(solution)).states.h, solution.states.h)


def test_compiled_vector_field():
    node, t = HBNODE(CountingField(3, 5)), torch.tensor(0.5)
    compiled = torch.compile(node.vector_field, backend="eager")
    for ours, theirs in zip(compiled(t, (Z, Z)), node.vector_field(t, (Z, Z)), strict=True):
        assert torch.equal(ours, theirs)
