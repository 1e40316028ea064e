"""torch.func, forward-mode differentiation, other default devices and dtypes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fields import TanhField
from torch.autograd import forward_ad
from torch.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)

from generated.adam import AdamNODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE

pytestmark = pytest.mark.usefixtures("float64")

NODES = {
    "dopri5": HBNODE,
    "rk4": lambda f, **s: HBNODE(f, method="rk4", options={"steps": 2}, **s),
    "interpolation": lambda f, **s: HBNODE(f, method="interpolation5", options={"steps": 2}, **s),
    "followers": lambda f, **s: AdamNODE(f, method="interpolation4", options={"steps": 2}, **s),
}
every_node = pytest.mark.parametrize("name", NODES)


@every_node
@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_transforms_are_those_of_autograd(name, gradient):
    """First and second derivatives by the state and by parameters that are lent."""
    node, right = (NODES[name](TanhField(2, 3), gradient=g) for g in (gradient, "autograd"))
    right.load_state_dict(node.state_dict())
    x, v = torch.randn(2, 2), torch.randn(2, 2)

    def loss(x):
        return right(x).sin().sum()

    jacobian = torch.autograd.functional.jacobian(right, x)
    slope = torch.autograd.functional.jacobian(loss, x)
    along = (jacobian * v).sum((2, 3))
    close = torch.testing.assert_close
    close(grad(lambda x: node(x).sin().sum())(x), slope)
    close(jacrev(node)(x), jacobian)
    close(jacfwd(node)(x), jacobian)
    close(jvp(node, (x,), (v,))[1], along)
    close(vjp(node, x)[1](v)[0], torch.autograd.functional.vjp(right, x, v)[1])
    second = torch.autograd.functional.hessian(loss, x)
    close(hessian(lambda x: node(x).sin().sum())(x), second)
    with forward_ad.dual_level():
        dual = node(forward_ad.make_dual(x, v))
        close(forward_ad.unpack_dual(dual).tangent, along)
    lent = {name: p.detach() for name, p in node.named_parameters()}
    bars = grad(lambda p: functional_call(node, p, (x,)).sin().sum())(lent)
    (expected,) = torch.autograd.grad(loss(x), right.field.inner.weight)
    close(bars["field.inner.weight"], expected)


@every_node
def test_an_ensemble_and_gradients_of_each_sample(name):
    """vmap over parameters and over samples, in equal steps."""
    options = {} if name == "dopri5" else {"options": {"steps": 2}}
    nodes = [NODES[name](TanhField(2, 3)) for _ in range(3)]
    for node in nodes:
        node.options = options.get("options", {"steps": 2})
    parameters, buffers = stack_module_state(nodes)
    x = torch.randn(4, 2)
    found = vmap(lambda p, b: functional_call(nodes[0], (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(found, torch.stack([node(x) for node in nodes]))

    def loss(p, row):
        return functional_call(nodes[0], p, (row[None],)).square().sum()

    first = {name: p.detach() for name, p in nodes[0].named_parameters()}
    bars = vmap(grad(loss), in_dims=(None, 0))(first, x)["field.inner.weight"]
    for bar, row in zip(bars, x, strict=True):
        expected = torch.autograd.grad(
            nodes[0](row[None]).square().sum(), nodes[0].field.inner.weight
        )
        torch.testing.assert_close(bar, expected[0])


@pytest.mark.parametrize("method", ["dopri5", "interpolation5", "auto"])
def test_fitted_steps_are_not_batched(method):
    with pytest.raises(RuntimeError, match="steps or step_size among the options"):
        vmap(HBNODE(TanhField(2, 3), method=method))(torch.randn(2, 2, 2))


def test_steps_of_another_library_are_not_transformed():
    with pytest.raises(RuntimeError, match="take a method of this package"):
        grad(lambda x: HBNODE(TanhField(2, 3), method="torchdiffeq:dopri5")(x).sum())(
            torch.randn(2, 2)
        )


def test_errors_within_a_transform_are_those_of_the_solve():
    with pytest.raises(ValueError, match="field must return"):
        grad(lambda x: HBNODE(lambda t, h: h[:1])(x).sum())(torch.randn(2, 2))
    with pytest.raises(RuntimeError, match="max_steps = 2"):
        node = HBNODE(TanhField(2, 3), rtol=1e-9, atol=1e-9, options={"max_steps": 2})
        grad(lambda x: node(x).sum())(torch.randn(2, 2))


def test_second_derivatives_name_what_has_them():
    node, x = HBNODE(TanhField(2, 3)), torch.randn(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match='second derivatives need gradient="autograd"'):
        torch.autograd.grad(node(x).sum(), x, create_graph=True)


# Devices and dtypes


WAYS = {
    "discrete": {},
    "adjoint": {"gradient": "adjoint"},
    "autograd": {"gradient": "autograd"},
    "interpolation": {"method": "interpolation5"},
    "adjoint of interpolation": {"method": "interpolation5", "gradient": "adjoint"},
    "grid": {"method": "auto", "grid": "auto"},
    "interpolate": {"observe": "interpolate"},
    "running": {"running": lambda t, states, f: f(states.h).square().sum()},
    "record": {"record": True},
    "torchdiffeq": {"method": "torchdiffeq:dopri5"},
    "torchdiffeq, equal steps": {"method": "torchdiffeq:rk4", "options": {"steps": 2}},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_default_device_has_no_part_in_a_solve(way):
    """On a device without values, everything would fail that is made there."""
    node, x = HBNODE(TanhField(3, 5), **WAYS[way]), torch.randn(2, 3, requires_grad=True)
    told = []
    for event in ("callback_step", "callback_accept_step", "callback_step_adjoint"):
        setattr(node, event, lambda t, states, dt: told.append((t, dt, *states)))

    def solved():
        solution = node.integrate(x, (0.0, 0.4, 1.0))
        running = 0.0 if solution.running is None else solution.running[-1]
        loss = solution.states.h.sin().sum() + running
        return solution.states, torch.autograd.grad(loss, x)[0]

    states, bar = solved()
    with torch.device("meta"):
        states_there, bar_there = solved()
    assert all(map(torch.equal, states, states_there))
    torch.testing.assert_close(bar_there, bar)
    assert told
    assert {x.device.type for tensors in told for x in tensors} == {"cpu"}


def test_times_of_each_sample_are_told_where_the_states_are():
    node, told = HBNODE(TanhField(3, 5)), []
    node.callback_step = lambda t, states, dt: told.append((t, dt))
    x, t = torch.randn(2, 3), torch.tensor([[0.0, 1.0], [2.0, 2.5]])
    with torch.device("meta"):
        node(x, t)
    assert {x.device.type for pair in told for x in pair} == {"cpu"}
    first, length = told[0]
    assert first.tolist() == [0.0, 2.0]
    assert length[0] == 2 * length[1]


def test_a_singular_start_is_left_on_the_device_of_the_states():
    node = NesterovNODE(TanhField(3, 5), (0.0, 1.0), running=lambda t, states, f: states.h.sum())
    x = torch.randn(2, 3)
    expected = node.integrate(x).running
    with torch.device("meta"):
        torch.testing.assert_close(node.integrate(x).running, expected)


def test_nodes_are_made_without_values_and_filled_later():
    with torch.device("meta"):
        node = HBNODE(TanhField(3, 5))
    assert {p.device.type for p in node.parameters()} == {"meta"}
    filled = node.to_empty(device="cpu")
    filled.load_state_dict(HBNODE(TanhField(3, 5)).state_dict())
    assert filled(torch.randn(2, 3)).isfinite().all()


def test_modules_are_imported_under_another_default_device():
    """In a fresh process: what is made at import has to be made where it can be read."""
    program = (
        "import torch; torch.set_default_device('meta'); import generated.heavy_ball_overdamped"
    )
    program += "; from optode.runtime.methods.catalogue import METHODS; print(len(METHODS) > 0)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_states_may_have_any_floating_dtype(dtype):
    """Another one than the default, which is float64 here, in equal steps."""
    for method in ("rk4", "interpolation5", "dopri5"):
        node = HBNODE(TanhField(3, 5), method=method, options={"steps": 2})
        x, times = torch.randn(2, 3), (0.0, 0.5, 1.0)
        expected = node(x, times)
        found = node.to(dtype)(x.to(dtype).requires_grad_(), times)
        assert found.dtype == dtype
        found.sum().backward()
        tolerance = 20 * torch.finfo(dtype).eps
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_learned_numbers_may_have_another_dtype_than_the_states(dtypes, gradient):
    """As after loading, or with a default dtype: the states keep theirs."""
    of_node, of_states = dtypes
    for settings in ({}, {"method": "interpolation5"}):
        node = HBNODE(lambda t, h: h.sin(), gradient=gradient, **settings).to(of_node)
        x = torch.randn(2, 3, dtype=of_states, requires_grad=True)
        out = node(x)
        out.sum().backward()
        assert out.dtype == x.grad.dtype == of_states
        assert node.raw_gamma.grad.dtype == of_node
        assert node.raw_gamma.grad != 0
