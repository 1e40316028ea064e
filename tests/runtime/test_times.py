"""Times of every kind: far from 0, of other dtypes, at the edge of the span, each sample's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fields import StillField, TanhField
from modules import distances, gradients

from generated.adam import AdamNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE

pytestmark = pytest.mark.usefixtures("float64")

GRADIENTS = ("discrete", "adjoint", "autograd")
every_gradient = pytest.mark.parametrize("gradient", GRADIENTS)
SEVEN = {"options": {"steps": 7}}
EQUAL = ("euler", "midpoint", "heun2", "heun3", "rk4", "bosh3", "dopri5", "dopri8")
FITTED = ("bosh3", "dopri5", "dopri8", "tsit5", "adaptive_heun", "auto")
INTERPOLATIONS = ("interpolation3", "interpolation5", "interpolation8")
METHODS = {
    **{f"{name}, equal": {"method": name, **SEVEN} for name in EQUAL},
    **{name: {"method": name} for name in (*FITTED, *INTERPOLATIONS)},
    "grid": {"method": "auto", "grid": "auto"},
    "interpolation4, adam": {"method": "interpolation4", **SEVEN},
    "interpolation8, adam": {"method": "interpolation8", **SEVEN},
    "torchdiffeq:dopri5": {"method": "torchdiffeq:dopri5"},
    "torchdiffeq:rk4": {"method": "torchdiffeq:rk4", **SEVEN},
    "torchode:dopri5": {"method": "torchode:dopri5"},
}
every_method = pytest.mark.parametrize("method", METHODS)
FAR = (
    "dopri5", "rk4, equal", "interpolation5", "interpolation4, adam", "torchdiffeq:dopri5",
    "torchode:dopri5",
)  # fmt: skip


def node_of(method, field, span=(0.0, 1.0), **settings):
    """A node that can take the method."""
    cls = AdamNODE if method.endswith("adam") else HBNODE
    return cls(field, span, **METHODS[method] | settings)


def start(*shape: int, **kind) -> torch.Tensor:
    return torch.randn(*(shape or (4, 3)), **kind)


# Far from 0


@pytest.mark.parametrize("offset", [2e4, -1e9])
@pytest.mark.parametrize("method", FAR)
def test_a_solution_does_not_depend_on_where_time_begins(method, offset):
    """float32 has no numbers between 1e9 and 1e9 + 64; the steps have their lengths all the same."""
    field = StillField(3, 5).float()
    x, steps = start(dtype=torch.float32), (0.0, 0.125, 0.5, 1.0)
    found = []
    for begins in (0.0, offset):
        node = node_of(method, field, (begins, begins + 1)).float()
        times = torch.tensor([begins + s for s in steps], dtype=torch.float64)
        found.append(gradients(node, node.initial_states(x), times))
    assert max(distances(found[1], found[0]).values()) < 1e-3
    ends = [node_of(method, field, (begins, begins + 1)).float()(x) for begins in (0.0, offset)]
    assert (ends[0] - ends[1]).norm() < 1e-4 * (ends[0] - x).norm()


@pytest.mark.parametrize("offset", [2e4, -1e9])
def test_lists_vectors_and_rows_of_times_far_away_are_one(offset):
    field, x = StillField(3, 5).float(), start(dtype=torch.float32)
    node = HBNODE(field, (offset, offset + 1))
    steps = [offset, offset + 0.125, offset + 1]
    vector = torch.tensor(steps, dtype=torch.float64)
    expected = HBNODE(field)(x, (0.0, 0.125, 1.0))
    for times in (steps, np.array(steps), vector, [*vector], vector.expand(4, 3)):
        torch.testing.assert_close(node(x, times), expected, rtol=1e-3, atol=1e-4)


def test_times_that_their_dtype_makes_one_are_refused():
    node, x = NODE(StillField(3, 5), (1e6, 1e6 + 1)), start()
    with pytest.raises(ValueError, match="strictly increasing"):
        node(x, torch.linspace(1e6, 1e6 + 1, 50, dtype=torch.float32))


@every_method
def test_short_spans_and_spans_below_zero(method):
    """Over 1e-7 the solution is a line; before 0 time flows as after it."""
    node = node_of(method, TanhField(3, 5), (-2.0, -2.0 + 1e-7))
    states = tuple(torch.rand(4, 3) + 0.5 for _ in node.state_names)
    rates = node.vector_field(torch.tensor(-2.0), states)
    ends = node.integrate(states).states
    for x, path, rate in zip(states, ends, rates, strict=True):
        torch.testing.assert_close((path[-1] - x) * 1e7, rate, rtol=1e-5, atol=1e-6)


# Where the field is asked


class Watched(TanhField):
    """Keeps the times at which it is asked."""

    def __init__(self, *sizes) -> None:
        super().__init__(*sizes)
        self.asked = []

    def forward(self, t, *arguments):
        self.asked.append((t.min().item(), t.max().item()))
        return super().forward(t, *arguments)


@every_method
@pytest.mark.parametrize("span", [(0.0, 1e-12), (0.1, 0.7), (-3.3, -1.1)], ids=str)
def test_no_evaluation_is_outside_of_the_span(method, span):
    """A first trial step, a stage, a composition with steps back: none, not even by round-off."""
    for dtype, gradient in ((torch.float64, "adjoint"), (torch.float32, "discrete")):
        field = Watched(3, 5)
        node = node_of(method, field, span, gradient=gradient, rtol=1e-3, atol=1e-3).to(dtype)
        x = torch.full((2, 3), 0.5, dtype=dtype, requires_grad=True)
        node(x).sum().backward()
        low, high = torch.tensor(span).to(dtype).tolist()
        firsts, lasts = zip(*field.asked, strict=True)
        assert low <= min(firsts)
        assert max(lasts) <= high


@pytest.mark.parametrize("method", ["dopri5", "torchdiffeq:dopri5", "torchode:dopri5"])
def test_a_stiff_beginning_is_tried_within_the_span(method):
    """A state of 1e3 that hardly moves suggests a step of 1e5."""
    field = Watched(3, 5)
    with torch.no_grad():
        field.outer.weight.mul_(1e-6)
        field.outer.bias.mul_(1e-6)
    node = node_of(method, field, (0.0, 1.0))
    node(torch.full((2, 3), 1e3))
    assert max(last for _, last in field.asked) <= 1.0


def test_max_step_holds_for_the_first_trial():
    field = Watched(3, 5)
    node = NODE(field, (0.0, 10.0), options={"max_step": 0.01, "max_steps": 2000})
    node(torch.full((2, 3), 1e3), (0.0, 0.1))
    assert max(t for t, _ in field.asked[:2]) <= 0.01


# Dtypes


KINDS = [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.int32, torch.uint8]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_times_may_have_any_real_dtype(kind, dtype):
    node = HBNODE(TanhField(3, 5).to(dtype), (0.0, 4.0)).to(dtype)
    x = start(dtype=dtype)
    times = torch.tensor([0, 1, 4]).to(kind)
    solution = node.integrate(x, times)
    assert solution.times is times
    assert solution.states.h.dtype == dtype
    torch.testing.assert_close(solution.states.h, node(x, (0.0, 1.0, 4.0)))
    rows = times.expand(4, 3)
    torch.testing.assert_close(node(x, rows), node(x, (0.0, 1.0, 4.0)))


@pytest.mark.parametrize(
    "times",
    [
        range(5),
        (0, 1, 4),
        np.array([0, 1, 4]),
        np.array([0, 1, 4], dtype=np.float32),
        [torch.tensor(0.0), 1, np.float32(4)],
        [torch.tensor(0), torch.tensor(1.0, dtype=torch.float32)],
        [[0.0, 1.0, 4.0]] * 4,
        np.array([[0.0, 1.0, 4.0]] * 4),
    ],
    ids=str,
)
def test_times_may_be_sequences_of_numbers(times):
    node, x = HBNODE(TanhField(3, 5), (0.0, 4.0)), start()
    plain = [float(s) for s in (times[0] if np.ndim(times[0]) else times)]
    torch.testing.assert_close(node(x, times), node(x, plain))


@pytest.mark.parametrize(
    "times",
    [
        5.0,
        torch.tensor(4.0),
        [],
        torch.zeros(0),
        "abc",
        [0.0, "a"],
        [0.0, None],
        [0.0, math.nan],
        [0.0, math.inf],
        [1.0, 1.0],
        [2.0, 1.0],
        [-1.0, 2.0],
        [1.0, 5.0],
        torch.tensor([0.0, 4.5]),
        torch.zeros(1, 2, 2),
        torch.zeros(3, 2),
        torch.zeros(4, 0),
        torch.tensor([[0.0, 1.0], [1.0, 0.5], [0.0, 1.0], [0.0, 1.0]]),
        torch.full((4, 2), math.nan),
        torch.tensor([0.0, 1.0]) + 0j,
        torch.tensor([0.0, 1.0]).to_sparse(),
        {0.0, 1.0},
        len,
    ],
    ids=str,
)
def test_times_that_do_not_fit_are_refused(times):
    """Before the field is asked."""
    node = NODE(lambda t, h: pytest.fail("asked"), (0.0, 4.0))
    with pytest.raises(ValueError, match=r"\bt must\b|times"):
        node(start(), times)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(
    "span", [(0.1, 0.7), (1 / 3, 2 / 3), (-0.7, -0.1), (1e3 / 3, 1e3)], ids=str
)
def test_an_end_of_the_span_is_an_end_in_every_dtype(kind, span):
    """Rounded, it may lie outside; it means the end, and no evaluation goes beyond that."""
    field, x = Watched(3, 5), start()
    node = HBNODE(field, span)
    whole = node.integrate(x).states.h
    for times in (torch.tensor(span, dtype=kind), torch.tensor(span[1:], dtype=kind)):
        field.asked.clear()
        found = node.integrate(x, times).states.h
        torch.testing.assert_close(found, whole[-len(times) :], rtol=1e-12, atol=0.0)
        assert span[0] <= min(t for t, _ in field.asked)
        assert max(t for _, t in field.asked) <= span[1]
    beyond = torch.tensor(span[1], dtype=kind) * (1 + math.copysign(0.02, span[1]))
    with pytest.raises(ValueError, match="must lie in the span"):
        node(x, beyond[None])


# Gradients


def weighed(path):
    return (torch.linspace(0.5, 1.5, path.numel()).view(path.shape) * path.sin()).sum()


@every_gradient
@pytest.mark.parametrize(
    ("method", "own"),
    [("dopri5", False), ("dopri5", True), ("torchdiffeq:dopri5", False), ("torchode:dopri5", True)],
)
def test_gradients_by_times(method, own, gradient):
    """Of a start after the span's, of what lies between, and of the end: g_i F(t_i) and -a F."""
    field, x = TanhField(3, 5), start(2, 3)
    node = node_of(method, field, (0.0, 2.0), gradient=gradient, rtol=1e-6, atol=1e-6)
    times = torch.tensor([[0.1, 0.7, 1.5], [0.3, 0.4, 0.9]] if own else [0.2, 0.7, 1.9])
    times.requires_grad_()
    (bar,) = torch.autograd.grad(weighed(node(x, times)), times)
    fine = HBNODE(field, (0.0, 2.0), "rk4", gradient="autograd", options={"steps": 40})
    (expected,) = torch.autograd.grad(weighed(fine(x, times)), times)
    torch.testing.assert_close(bar, expected, rtol=1e-3, atol=1e-4)


def test_gradients_by_times_are_those_of_finite_differences():
    for times in ([0.2, 0.7, 1.9], [[0.1, 0.7, 1.5], [0.3, 0.4, 0.9]]):
        node, x = HBNODE(TanhField(3, 5), (0.0, 2.0), "rk4", options={"steps": 3}), start(2, 3)
        node.requires_grad_(False)
        known = torch.tensor(times, requires_grad=True)
        assert torch.autograd.gradcheck(lambda t, node=node, x=x: weighed(node(x, t)), known)


@pytest.mark.parametrize("method", ["euler, equal", "rk4, equal"])
def test_gradients_by_times_in_few_equal_steps(method):
    """Here too, "discrete" is the gradient of the numerical solution."""
    times = torch.tensor([0.2, 0.7, 1.9])
    found = {}
    x, field = start(2, 3), TanhField(3, 5)
    for gradient in ("discrete", "autograd"):
        node = node_of(method, field, (0.0, 2.0), gradient=gradient, options={"steps": 2})
        t = times.clone().requires_grad_()
        (found[gradient],) = torch.autograd.grad(node(x, t).sin().sum(), t)
    torch.testing.assert_close(found["discrete"], found["autograd"])


def test_gradients_of_a_list_of_tensors_and_of_times_in_other_dtypes():
    node, x = HBNODE(TanhField(3, 5), (0.0, 2.0)), start()
    vector = torch.tensor([0.5, 2.0]).requires_grad_()
    (expected,) = torch.autograd.grad(node(x, vector).sin().sum(), vector)
    ends = [torch.tensor(s).requires_grad_() for s in (0.5, 2.0)]
    for times in (ends, [0.5, ends[1]], (ends[0], 2.0)):
        known = [t for t in times if isinstance(t, torch.Tensor)]
        bars = torch.autograd.grad(node(x, times).sin().sum(), known)
        right = [expected[0]] * (times[0] is ends[0]) + [expected[1]] * (times[1] is ends[1])
        torch.testing.assert_close(list(bars), right)
    for kind in (torch.float32, torch.bfloat16):
        t = torch.tensor([0.5, 2.0], dtype=kind, requires_grad=True)
        (bar,) = torch.autograd.grad(node(x, t).sin().sum(), t)
        assert bar.dtype == kind
        torch.testing.assert_close(bar.double(), expected, rtol=1e-2, atol=1e-2)


def test_a_gradient_of_the_span_or_of_what_is_read_between_steps_is_refused():
    end = torch.tensor(0.8, requires_grad=True)
    for span in ((0.0, end), (end, 1.0)):
        with pytest.raises(ValueError, match="span requires a gradient"):
            NODE(TanhField(3, 5), span)
    for observed in ({"observe": "interpolate"}, {"running": lambda t, states, f: states[0].sum()}):
        with pytest.raises(ValueError, match="gradient by the times"):
            NODE(TanhField(3, 5), **observed)(
                start(), torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
            )


@pytest.mark.parametrize("method", ["interpolation5", "interpolation4, adam", "dopri5"])
def test_times_that_require_a_gradient_are_times_where_none_is_asked(method):
    node, x = node_of(method, TanhField(3, 5)), start()
    times = torch.tensor([0.0, 0.3, 1.0], requires_grad=True)
    with torch.no_grad():
        torch.testing.assert_close(node(x, times), node(x, times.detach()))


# Shapes


SHAPES = [(0, 3), (4, 0), (0,), (4,), ()]


@every_gradient
@pytest.mark.parametrize("method", [*FAR, "grid"])
def test_states_of_every_shape(method, gradient):
    """Nothing, numbers, vectors: forward and backward, at ends, times and times of samples."""

    def field(t, h):
        return torch.tanh(h) * torch.cos(t)

    node = node_of(method, field, gradient=gradient, rtol=1e-3, atol=1e-3)
    for shape in SHAPES:
        if method.startswith("torchode") and len(shape) < 2:
            with pytest.raises(ValueError, match="needs a batch"):
                node(torch.ones(shape))
            continue
        of_times = [None, (0.2, 1.0)]
        if shape and gradient != "autograd":
            of_times.append(torch.tensor([0.0, 0.5, 1.0]).expand(shape[0], 3))
        for times in of_times:
            x = torch.ones(shape, requires_grad=True)
            out = node(x, times)
            out.sum().backward()
            rows = () if times is None else (torch.as_tensor(times).shape[-1],)
            assert out.shape == rows + shape
            assert x.grad.shape == shape
            assert x.grad.isfinite().all()


def test_a_number_is_solved_as_a_batch_of_it():
    for node in (NODE(lambda t, h: -t * h), HBNODE(torch.nn.Identity(), method="interpolation5")):
        torch.testing.assert_close(node(torch.tensor(2.0)), node(torch.full((1, 1), 2.0))[0, 0])


# Each sample's own


OWN = torch.tensor([[5.0, 6.0, 8.0], [1.0, 1.0, 1.5]], dtype=torch.float64)


@every_gradient
def test_callbacks_are_told_the_times_of_the_samples(gradient):
    """And how long the step is for each of them: steps join, from the first time to the last."""
    node, told = NODE(TanhField(3, 5), (0.0, 10.0), gradient=gradient), []
    node.callback_accept_step = lambda t, states, dt: told.append((t, dt, states[0].shape))
    node(start(2, 3), OWN)
    times, lengths, shapes = zip(*told, strict=True)
    assert {*shapes} == {(2, 3)}
    assert times[0].tolist() == OWN[:, 0].tolist()
    torch.testing.assert_close(times[-1] + lengths[-1], OWN[:, -1])
    torch.testing.assert_close(torch.stack(lengths).sum(0), OWN[:, -1] - OWN[:, 0])
    for t, dt, following in zip(times, lengths, times[1:], strict=False):
        torch.testing.assert_close(t + dt, following)


@pytest.mark.parametrize("event", ["callback_step_adjoint", "callback_costates"])
def test_callbacks_of_the_backward_pass_are_told_the_times_of_the_samples(event):
    node, told = NODE(TanhField(3, 5), (0.0, 10.0), gradient="adjoint"), []
    setattr(node, event, lambda t, *others: told.append(t))
    node(start(2, 3).requires_grad_(), OWN).sum().backward()
    low, high = OWN.aminmax(dim=1)
    assert told
    for t in told:
        assert (low <= t + 1e-12).all()
        assert (t <= high + 1e-12).all()


@pytest.mark.parametrize("option", ["step_t", "jump_t"])
def test_cuts_are_refused_with_times_of_each_sample(option):
    """They would be in the solver's own time."""
    for settings in ({}, {"method": "rk4"}, {"method": "auto", "grid": "auto"}):
        node = NODE(TanhField(3, 5), (0.0, 10.0), options={option: [5.5]}, **settings)
        with pytest.raises(ValueError, match="step_t and jump_t are times of all samples"):
            node(start(2, 3), OWN)


def test_no_step_of_a_sample_is_longer_than_asked_for():
    """step_size and max_step bound the steps of the slowest sample, and so of all."""
    for settings in (
        {"options": {"step_size": 0.25}, "method": "rk4"},
        {"options": {"max_step": 0.25}, "rtol": 1e-2, "atol": 1e-2},
    ):
        node, told = NODE(TanhField(3, 5), (0.0, 10.0), **settings), []
        node.callback_step = lambda t, states, dt, told=told: told.append(dt.max().item())
        node(start(2, 3), OWN)
        assert 0.2 < max(told) <= 0.25 * (1 + 1e-12)


def test_samples_with_one_row_of_times_are_solved_as_with_that_row():
    node, x = HBNODE(TanhField(3, 5), (0.0, 8.0)), start(2, 3)
    found = node.integrate(x, torch.tensor([[1.0, 2.0, 4.0]]).expand(2, 3))
    expected = node.integrate(node.initial_states(x), torch.tensor([[1.0, 2.0, 4.0]] * 2))
    torch.testing.assert_close(found.states, expected.states)
    later = HBNODE(node.field, (1.0, 8.0))
    later.load_state_dict(node.state_dict())
    torch.testing.assert_close(found.states.h, later(x, (1.0, 2.0, 4.0)), rtol=1e-4, atol=1e-4)


def test_a_singular_start_far_from_other_times_is_left():
    """Nesterov's equations from t = 0, and for samples that begin there or later."""
    node, x = NesterovNODE(TanhField(3, 5), (0.0, 2.0)), start(2, 3)
    whole = node(x, (0.5, 2.0))
    rows = torch.tensor([[0.0, 0.5, 2.0], [0.0, 0.5, 2.0]])
    torch.testing.assert_close(node(x, rows)[1:], whole, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="singular"):
        node(x, torch.tensor([[-1.0, 1.0], [0.0, 1.0]]))
