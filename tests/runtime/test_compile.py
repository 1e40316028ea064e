"""Generated modules under torch.compile, torch.export, ONNX and torch.func, on grids of fixed steps."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable

import pytest
import torch
from fields import TanhField
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call, hessian, jacrev, jvp, stack_module_state, vmap

from generated.adam_guarded import GuardedAdamNODE
from generated.heavy_ball import HBNODE
from generated.second_order import SONODE
from optode.runtime.plan import FEW

WIDTH = 4
STEPS = 2


@pytest.fixture(autouse=True)
def _compiled_afresh(float64):
    torch.compiler.reset()


def ball(gradient: str = "discrete", steps: int = STEPS, method: str = "heun2") -> HBNODE:
    return HBNODE(TanhField(WIDTH), method=method, gradient=gradient, options={"steps": steps})


def batch(size: int = 6) -> Tensor:
    return torch.randn(size, WIDTH, generator=torch.Generator().manual_seed(size))


def by_hand(node: HBNODE, h0: Tensor) -> Tensor:
    """The heavy ball by Heun's steps, typed from the definitions."""

    def rates(t, h, m):
        return m, -torch.sigmoid(node.raw_gamma) * m + node.field(t, h)

    h, m, dt = h0, torch.zeros_like(h0), 1 / STEPS
    for k in range(STEPS):
        h1, m1 = rates(torch.tensor(k * dt), h, m)
        h2, m2 = rates(torch.tensor((k + 1) * dt), h + dt * h1, m + dt * m1)
        h, m = h + dt * (h1 + h2) / 2, m + dt * (m1 + m2) / 2
    return h


def loss_of(h: Tensor) -> Tensor:
    return h.square().mean()


def gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters()}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        error = (found[name] - wanted[name]).norm() / wanted[name].norm()
        assert error < tolerance, name


# torch.compile


@pytest.mark.parametrize("gradient", ["discrete", "autograd"])
def test_training_step_is_one_graph(gradient):
    node, h0 = ball(gradient), batch()
    step = torch.compile(lambda h: loss_of(node(h)), fullgraph=True, backend="aot_eager")
    found = gradients(node, step(h0))
    assert_same(found, gradients(node, loss_of(by_hand(node, h0))), 1e-12)


@pytest.mark.parametrize("model", [GuardedAdamNODE, SONODE], ids=lambda m: m.__name__)
def test_other_models_are_one_graph(model):
    """Against the derived VJPs, which the compiler does not see: compiled, the steps are backpropagated."""
    more = (
        {"field": TanhField(WIDTH, arguments=2), "features": WIDTH}
        if model is SONODE
        else {"field": TanhField(WIDTH)}
    )
    node, h0 = model(method="euler", options={"steps": 2}, **more), batch()
    compiled = torch.compile(node, fullgraph=True, backend="aot_eager")
    found = gradients(node, loss_of(compiled(h0)))
    assert_same(found, gradients(node, loss_of(node(h0))), 1e-12)


class Driven(TanhField):
    def forward(self, t: Tensor, h: Tensor, u: Tensor) -> Tensor:
        return super().forward(t, h) + u


def test_times_inputs_and_statistics_are_in_the_graph():
    node = HBNODE(Driven(), method="euler", options={"steps": 2})
    h0, u = batch(), batch().cos()
    own_times = torch.tensor([[0.0, 0.5, 1.0]]) * torch.arange(1, 7)[:, None]
    for times in ([0.25, 1.0], own_times):
        torch.compiler.reset()
        solve = torch.compile(node.integrate, fullgraph=True, backend="aot_eager")
        found, wanted = solve(h0, times, u), node.integrate(h0, times, u)
        torch.testing.assert_close(found.states, wanted.states)
        assert found.stats.forward_nfe == wanted.stats.forward_nfe == 4
        assert found.stats.accepted == 4


def test_new_values_and_batches_need_no_new_graph():
    node = ball()
    compiled = torch.compile(node, fullgraph=True, backend="aot_eager", dynamic=True)
    gradients(node, loss_of(compiled(batch(6))))
    with torch.no_grad():
        for p in node.parameters():
            p.mul_(0.5)
    with torch.compiler.set_stance("fail_on_recompile"):
        found = gradients(node, loss_of(compiled(batch(9))))
    assert_same(found, gradients(node, loss_of(by_hand(node, batch(9)))), 1e-12)


def saved_elements(run: Callable[[], Tensor]) -> int:
    """How many numbers a forward pass keeps for its backward pass."""
    sizes = []

    def pack(x: Tensor) -> Tensor:
        sizes.append(x.numel())
        return x

    with saved_tensors_hooks(pack, lambda x: x):
        run()
    return sum(sizes)


def test_compiled_discrete_keeps_the_states_and_no_stages():
    h0, kept = batch(), []
    for steps in (FEW + 1, FEW + 4):
        torch.compiler.reset()
        node = ball(steps=steps, method="euler")
        compiled = torch.compile(node, fullgraph=True, backend="aot_eager")
        kept.append(saved_elements(lambda compiled=compiled: compiled(h0)))
    states = 2 * h0.numel()  # h and m; the activations of a stage are as many again
    assert kept[1] - kept[0] < 3 * 1.25 * states


def test_few_traced_steps_are_evaluated_once():
    """The graph of more steps has checkpoints in it, whose steps are taken again on the way back."""
    calls = []
    for steps, more in ((FEW, {}), (FEW, {"keep": 0}), (FEW + 1, {})):
        torch.compiler.reset()
        node = ball(steps=steps, method="euler")
        node.options |= more
        graphs = []

        def backend(graph, inputs, graphs=graphs):
            graphs.append(graph)
            return graph.forward

        compiled = torch.compile(node, fullgraph=True, backend=backend)
        gradients(node, loss_of(compiled(batch())))
        calls.append("checkpoint" in graphs[0].print_readable(print_output=False))
    assert calls == [False, True, True]


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="inductor needs a C++ compiler"
)
@pytest.mark.parametrize("steps", [FEW, FEW + 2])
def test_inductor(steps):
    """Few steps, whose kernels are one file, and more, of which one is compiled."""
    node, h0 = ball(steps=steps).float(), batch().float()
    expected = gradients(node, loss_of(node(h0)))
    node.compiled = True
    plain = {"compile_threads": 1, "cpp.simdlen": 1}  # code without vectors compiles sooner
    with torch._inductor.config.patch(plain):
        found = gradients(node, loss_of(node(h0)))
    assert_same(found, expected, 1e-5)


# torch.export and ONNX

BATCHED = ({0: torch.export.Dim("batch")},)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_export_for_any_batch(gradient):
    node, file = ball(gradient), io.BytesIO()
    with torch.no_grad():
        program = torch.export.export(node, (batch(),), dynamic_shapes=BATCHED)
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    torch.testing.assert_close(loaded(batch(9)), by_hand(node, batch(9)))


def test_exported_program_trains():
    node = ball()
    program = torch.export.export(node, (batch(),), dynamic_shapes=BATCHED).module()
    found = gradients(program, loss_of(program(batch(9))))
    assert_same(found, gradients(node, loss_of(by_hand(node, batch(9)))), 1e-12)


def test_onnx():
    pytest.importorskip("onnxscript", reason="torch.onnx needs it")
    pytest.importorskip("onnxruntime", reason="runs the exported model")
    node = ball().float().eval()
    with torch.no_grad():
        program = torch.onnx.export(
            node, (batch().float(),), dynamo=True, dynamic_shapes=BATCHED, verbose=False
        )
    h0 = batch(9).float()
    torch.testing.assert_close(program(h0)[0], by_hand(node, h0))


# torch.func and second derivatives


def test_vmap_over_samples():
    node, h0 = ball("autograd"), batch()
    torch.testing.assert_close(vmap(node)(h0), by_hand(node, h0))


def test_vmap_over_an_ensemble():
    nodes, h0 = [ball("autograd") for _ in range(3)], batch()
    parameters, _ = stack_module_state(nodes)
    found = vmap(lambda p: functional_call(nodes[0], p, (h0,)))(parameters)
    torch.testing.assert_close(found, torch.stack([by_hand(node, h0) for node in nodes]))


def test_forward_mode():
    node, h0, v = ball("autograd"), batch(), batch().sin()
    eps = 1e-6
    difference = (by_hand(node, h0 + eps * v) - by_hand(node, h0 - eps * v)) / (2 * eps)
    torch.testing.assert_close(jvp(node, (h0,), (v,))[1], difference, rtol=1e-7, atol=1e-9)


def test_jacobian_and_hessian():
    node, h0 = ball("autograd"), batch()[0]
    torch.testing.assert_close(
        jacrev(node)(h0), torch.autograd.functional.jacobian(lambda h: by_hand(node, h), h0)
    )
    wanted = torch.autograd.functional.hessian(lambda h: loss_of(by_hand(node, h)), h0)
    torch.testing.assert_close(hessian(lambda h: loss_of(node(h)))(h0), wanted)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_lent_parameters_get_the_gradient(gradient):
    """In the backward pass the module has its own parameters back: a later VJP would take those."""
    node, h0 = ball(gradient), batch()
    lent = {name: (2 * p).detach().requires_grad_() for name, p in node.named_parameters()}
    loss = loss_of(functional_call(node, lent, (h0,)))
    found = dict(zip(lent, torch.autograd.grad(loss, list(lent.values())), strict=True))
    with torch.no_grad():
        for p in node.parameters():
            p.mul_(2)
    assert_same(found, gradients(node, loss_of(by_hand(node, h0))), 1e-12)


def second_derivatives(node: HBNODE, h0: Tensor, h1: Tensor) -> tuple[Tensor, ...]:
    """Those of a penalty on the gradient, by everything."""
    (slope,) = torch.autograd.grad(loss_of(h1), h0, create_graph=True)
    return torch.autograd.grad(slope.square().sum(), (h0, *node.parameters()))


def test_second_derivatives():
    node, h0 = ball("autograd"), batch().requires_grad_()
    found = second_derivatives(node, h0, node(h0))
    torch.testing.assert_close(found, second_derivatives(node, h0, by_hand(node, h0)))


def test_second_derivatives_are_refused_where_there_are_none():
    node, h0 = ball("discrete"), batch().requires_grad_()
    with pytest.raises(RuntimeError, match="autograd"):
        second_derivatives(node, h0, node(h0))
