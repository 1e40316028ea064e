"""Every call of a node has one gradient and one graph, as if it were a layer of PyTorch."""

from __future__ import annotations

import copy
import io
import threading

import pytest
import torch
from fields import TanhField
from torch import nn
from torch.autograd.graph import register_multi_grad_hook, save_on_cpu
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode
from ways import APART, WAYS, every_way, every_way_apart

from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE

pytestmark = pytest.mark.usefixtures("float64")


class HalfUsed(TanhField):
    """A field with a layer that it never calls."""

    def __init__(self) -> None:
        super().__init__(3, 5)
        self.idle = nn.Linear(3, 3)


def start(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (4, 3)))


def backward(node, x, inputs=None):
    """Go back from a loss of the end, into fresh gradients by name; None where there is none."""
    node.zero_grad(set_to_none=True)
    node(x, inputs=inputs).square().sum().backward()
    return {name: p.grad for name, p in node.named_parameters()}


def same(found, expected) -> bool:
    """Whether gradients by name are bitwise equal, None among them."""
    return found.keys() == expected.keys() and all(
        (x is None and expected[name] is None)
        or (x is not None and expected[name] is not None and torch.equal(x, expected[name]))
        for name, x in found.items()
    )


def close(found, expected, rtol=1e-9) -> bool:
    return all(
        torch.allclose(x, expected[name], rtol=rtol, atol=1e-12) for name, x in found.items()
    )


# The same at every call


@every_way
def test_every_call_has_one_gradient_and_one_graph(way):
    """Also after calls of other shapes, in other modes and without gradients."""
    node, x = WAYS[way](HalfUsed()), start()
    first, graph = backward(node, x), node(x).grad_fn.name()
    assert first["field.idle.weight"] is None
    assert first["field.inner.weight"].any()
    assert same(backward(node, x), first)
    with torch.no_grad():
        node(x)
    node(start(2, 3))
    node.eval()
    assert same(backward(node, x), first)
    assert node(x).grad_fn.name() == graph


@pytest.mark.parametrize("method", ["dopri5", "rk4", "bosh3", "interpolation3", "interpolation8"])
def test_what_is_kept_changes_no_bit(method):
    """Nothing kept, a few steps, everything: the values and the gradients are bitwise equal."""
    field, x, found = TanhField(3, 5), start(), []
    for keep in (0, 1, 20_000, 2**30):
        options = {"keep": keep} | ({"steps": 4} if method == "rk4" else {})
        node = HBNODE(field, (0.0, 2.0), method, options=options)
        at = x.clone().requires_grad_()
        value = node(at, (0.3, 1.1, 2.0))
        known = (at, *node.parameters())
        found.append((value, *torch.autograd.grad(value.sin().sum(), known)))
    assert all(map(torch.equal, found[0], other) for other in found[1:])
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@every_way
def test_modes_without_gradients_change_no_bit(way):
    node, x = WAYS[way](TanhField(3, 5)), start()
    value = node(x).detach()
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(node(x), value)
    node.requires_grad_(False)
    assert torch.equal(node(x), value)
    assert not node(x).requires_grad


@every_way
def test_parameters_may_be_frozen_in_part(way):
    """Then the others have the gradients that they had, and the frozen ones none."""
    node, x = WAYS[way](TanhField(3, 5)), start()
    whole = backward(node, x)
    node.field.inner.requires_grad_(False)
    found = backward(node, x)
    assert found.pop("field.inner.weight") is None
    assert found.pop("field.inner.bias") is None
    assert close(found, whole, 1e-6)


@every_way
def test_the_state_alone_may_need_a_gradient(way):
    node, x = WAYS[way](TanhField(3, 5)), start().requires_grad_()
    (whole,) = torch.autograd.grad(node(x).sin().sum(), x)
    node.requires_grad_(False)
    (found,) = torch.autograd.grad(node(x).sin().sum(), x)
    torch.testing.assert_close(found, whole, rtol=1e-6, atol=1e-9)


# Who looks on


@every_way_apart
def test_a_hook_of_a_parameter_sees_the_total_once(way):
    node, x = WAYS[way](TanhField(3, 5)), start()
    plain, seen = backward(node, x), {}
    for name, p in node.named_parameters():
        seen[name] = []
        p.register_hook(lambda bar, name=name: (seen[name].append(bar.clone()), bar.sign())[1])
    found = backward(node, x)
    used = [name for name, bar in plain.items() if bar is not None]
    assert [len(seen[name]) for name in used] == [1] * len(used)
    assert close({name: seen[name][0] for name in used}, plain)
    assert all(torch.equal(found[name], plain[name].sign()) for name in used)


@pytest.mark.parametrize("settings", [{"observe": "interpolate"}, {"running": "energy"}], ids=str)
def test_a_hook_sees_the_total_of_a_solve_and_of_what_is_read_off_it(settings):
    """The interpolant's evaluations and those of a running cost are part of one gradient."""
    if "running" in settings:
        settings = {"running": lambda t, states, f: f(states.h).square().sum()}
    node, x, calls = HBNODE(TanhField(3, 5), **settings), start(), []

    def gradient():
        node.zero_grad(set_to_none=True)
        solution = node.integrate(x, (0.0, 0.3, 1.0))
        loss = solution.states.h.sin().sum()
        loss = loss if solution.running is None else loss + solution.running[-1]
        loss.backward()
        return node.field.inner.weight.grad

    plain = gradient()
    node.field.inner.weight.register_hook(lambda bar: (calls.append(1), 3 * bar)[1])
    torch.testing.assert_close(gradient(), 3 * plain)
    assert calls == [1]


@every_way_apart
def test_hooks_of_states_and_inputs_see_the_total_once(way):
    node, seen = WAYS[way](TanhField(3, 5, inputs=2)), []
    x, u = start().requires_grad_(), start(4, 2).requires_grad_()
    plain = torch.autograd.grad(node(x, inputs=u).sin().sum(), (x, u))
    for tensor in (x, u):
        tensor.register_hook(lambda bar: (seen.append(1), 2 * bar)[1])
    found = torch.autograd.grad(node(x, inputs=u).sin().sum(), (x, u))
    assert len(seen) == 2
    for bar, expected in zip(found, plain, strict=True):
        torch.testing.assert_close(bar, 2 * expected)


class Control(nn.Module):
    """A function of time with parameters, as inputs of a field."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return self.layer(t.reshape(1, 1)).expand(4, 2)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_a_hook_of_a_module_that_is_an_input_sees_the_total_once(gradient):
    node, control, x = HBNODE(TanhField(3, 5, inputs=2), gradient=gradient), Control(), start()
    backward(node, x, control)
    plain, calls = control.layer.weight.grad.clone(), []
    control.zero_grad(set_to_none=True)
    control.layer.weight.register_hook(lambda bar: (calls.append(1), -bar)[1])
    backward(node, x, control)
    assert calls == [1]
    torch.testing.assert_close(control.layer.weight.grad, -plain)


@every_way
def test_other_hooks_of_parameters_run_once(way):
    """After accumulation, of many tensors together, and of the node that accumulates."""
    node, x = WAYS[way](TanhField(3, 5)), start()
    backward(node, x)
    weight, seen = node.field.inner.weight, []
    weight.register_post_accumulate_grad_hook(lambda p: seen.append("accumulated"))
    register_multi_grad_hook([*node.parameters()], lambda bars: seen.append(len(bars)))
    register_multi_grad_hook([*node.parameters()], lambda bar: seen.append("any"), mode="any")
    accumulates = weight.view_as(weight).grad_fn.next_functions[0][0]
    accumulates.register_hook(lambda *_: seen.append("accumulates"))
    accumulates.register_prehook(lambda *_: seen.append("about to"))
    backward(node, x)
    expected = ["accumulated", len([*node.parameters()]), "any", "accumulates", "about to"]
    assert sorted(map(str, seen)) == sorted(map(str, expected))


def test_hooks_are_back_after_a_backward_pass_that_failed():
    """A field that fails when it is evaluated again, as one without memory may."""

    class Failing(TanhField):
        fails = False

        def forward(self, t, *arguments):
            if self.fails:
                raise MemoryError("no memory")
            return super().forward(t, *arguments)

    node, x, calls = HBNODE(Failing(3, 5), options={"keep": 0}), start(), []
    node.field.inner.weight.register_hook(lambda bar: calls.append(1))
    loss = node(x).sum()
    node.field.fails = True
    with pytest.raises(MemoryError):
        loss.backward()
    node.field.fails = False
    backward(node, x)
    assert calls == [1]


@every_way
def test_hooks_of_modules_run(way):
    """Hooks on what goes forward and backward through a layer, the field and the node."""
    node, x = WAYS[way](TanhField(3, 5)), start().requires_grad_()
    plain, seen = backward(node, x), set()
    for name, module in (("layer", node.field.inner), ("field", node.field), ("node", node)):
        module.register_forward_pre_hook(lambda *_, name=name: seen.add(f"before {name}"))
        module.register_forward_hook(lambda *_, name=name: seen.add(f"after {name}"))
        module.register_full_backward_hook(lambda *_, name=name: seen.add(f"back {name}"))
    assert close(backward(node, x), plain)
    assert len(seen) == 9


def test_flops_are_counted_on_the_way_there_and_back():
    """As many in equal steps as autograd needs; twice the way there where nothing is kept."""

    def flops(**settings):
        node = HBNODE(TanhField(3, 5), method="rk4", **settings)
        x = start().requires_grad_()
        with FlopCounterMode(display=False) as counter:
            value = node(x)
            there = counter.get_total_flops()
            value.sum().backward()
        return there, counter.get_total_flops() - there

    there, back = flops(gradient="autograd", options={"steps": 2})
    assert there > 0
    assert flops(options={"steps": 2}) == (there, back)
    assert flops(options={"steps": 2, "keep": 0}) == (there, there + back)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("way", ["discrete", "interpolation", "adjoint"])
def test_anomalies_may_be_looked_for(way):
    node, x = WAYS[way](TanhField(3, 5)), start()
    plain = backward(node, x)
    with torch.autograd.detect_anomaly(check_nan=True):
        assert close(backward(node, x), plain)


# Memory


@every_way
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_node_may_be_checkpointed(way, reentrant):
    """At its first call as at later ones, beside other layers."""
    node, x = WAYS[way](TanhField(3, 5)), start()
    plain = backward(WAYS[way](copy.deepcopy(node.field)), x)
    for _ in range(2):
        node.zero_grad(set_to_none=True)
        at = x.clone().requires_grad_()
        checkpoint(node, at, use_reentrant=reentrant).square().sum().backward()
        found = {name: p.grad for name, p in node.named_parameters()}
        assert close(found, plain, 1e-8)
        assert at.grad.any()


@every_way
def test_a_field_may_have_checkpoints(way):
    class Checkpointed(TanhField):
        def forward(self, t, *arguments):
            hidden = checkpoint(self.hidden, t, *arguments, use_reentrant=False)
            return self.outer(hidden)

    torch.manual_seed(1)
    node = WAYS[way](Checkpointed(3, 5))
    torch.manual_seed(1)
    plain, x = WAYS[way](TanhField(3, 5)), start()
    assert close(backward(node, x), backward(plain, x))


@every_way
def test_tensors_may_be_saved_elsewhere(way):
    """Hooks for saved tensors: on the CPU, or packed by the caller."""
    node, x = WAYS[way](TanhField(3, 5)), start()
    plain = backward(node, x)
    node.zero_grad(set_to_none=True)
    with save_on_cpu():
        loss = node(x).square().sum()
    loss.backward()
    assert close({name: p.grad for name, p in node.named_parameters()}, plain)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.numpy().copy(), torch.from_numpy):
        assert close(backward(node, x), plain)


def test_tensors_must_not_be_saved_where_the_caller_forbids_it():
    with (
        torch.autograd.graph.disable_saved_tensors_hooks("none here"),
        pytest.raises(RuntimeError, match="none here"),
    ):
        checkpoint(HBNODE(TanhField(3, 5)), start(), use_reentrant=False)


# What is done with the graph


@every_way
def test_a_graph_may_be_gone_back_through_twice(way):
    node, x = WAYS[way](TanhField(3, 5)), start().requires_grad_()
    loss = node(x).square().sum()
    known = (x, *node.parameters())
    first = torch.autograd.grad(loss, known, retain_graph=True)
    again = torch.autograd.grad(loss, known)
    for bar, expected in zip(again, first, strict=True):
        torch.testing.assert_close(bar, expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, known)


@every_way
def test_gradients_may_be_asked_of_some_leaves_and_are_added_to_what_is_there(way):
    node, x = WAYS[way](TanhField(3, 5)), start()
    plain = backward(node, x)
    node.zero_grad(set_to_none=True)
    weight = node.field.outer.weight
    node(x).square().sum().backward(inputs=[weight])
    assert torch.allclose(weight.grad, plain["field.outer.weight"])
    assert node.field.inner.weight.grad is None
    node(x).square().sum().backward()
    assert torch.allclose(weight.grad, 2 * plain["field.outer.weight"])


@every_way
def test_one_state_at_one_time_is_enough_for_a_loss(way):
    """The others have no part in the gradient, and none of them is asked for one."""
    node, x = WAYS[way](TanhField(3, 5)), start().requires_grad_()
    states = node.integrate(x, (0.0, 0.5, 1.0)).states
    (bar,) = torch.autograd.grad(states[-1][1].sum(), x)
    (whole,) = torch.autograd.grad(
        WAYS[way](node.field).integrate(x, (0.0, 0.5, 1.0)).states[-1].sum(dim=(1, 2))[1], x
    )
    torch.testing.assert_close(bar, whole)


def test_outputs_may_be_changed_in_place():
    for way in APART:
        node, x = WAYS[way](TanhField(3, 5)), start()
        plain = backward(node, x)
        node.zero_grad(set_to_none=True)
        out = node(x)
        out.mul_(2.0).div_(2.0)
        out.square().sum().backward()
        assert close({name: p.grad for name, p in node.named_parameters()}, plain)


@every_way
def test_a_jacobian_row_by_row(way):
    node, x = WAYS[way](TanhField(3, 5)), start(2, 3)
    rows = torch.autograd.functional.jacobian(node, x)
    at = x.clone().requires_grad_()
    (bar,) = torch.autograd.grad(node(at).sum(), at)
    torch.testing.assert_close(rows.sum((0, 1)), bar, rtol=1e-4, atol=1e-6)
    assert not rows[0, :, 1].any()


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_a_jacobian_all_at_once(gradient):
    """Cotangents in a batch: right, or refused by the name of what can do it."""
    node, x = HBNODE(TanhField(3, 5), gradient=gradient), start(2, 3)
    rows = torch.autograd.functional.jacobian(node, x)
    try:
        found = torch.autograd.functional.jacobian(node, x, vectorize=True)
    except RuntimeError as error:
        assert gradient != "autograd"
        assert 'gradient="autograd"' in str(error)
    else:
        torch.testing.assert_close(found, rows, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", ["interpolation", "equal interpolation", "autograd"])
def test_gradients_are_those_of_finite_differences(way):
    """Where steps are of one length: fitted ones move with the state."""
    node = WAYS[way](TanhField(2, 3)).requires_grad_(False)
    node.options = {"steps": 2}
    assert torch.autograd.gradcheck(node, start(2, 2).requires_grad_())


# Copies


@every_way
def test_copies_have_gradients_of_their_own(way):
    """A deep copy and a saved one, made after a solve."""
    node, x = WAYS[way](TanhField(3, 5)), start()
    plain = backward(node, x)
    twin = copy.deepcopy(node)
    assert same(backward(twin, x), plain)
    assert twin.field.inner.weight.grad is not node.field.inner.weight.grad
    stream = io.BytesIO()
    torch.save(node, stream)
    stream.seek(0)
    assert same(backward(torch.load(stream, weights_only=False), x), plain)


@pytest.mark.parametrize("way", ["discrete", "interpolation", "automatic grid", "adjoint"])
def test_threads_share_a_node(way):
    """Forward and backward passes at one time have the results that they have in turn."""
    node = WAYS[way](TanhField(3, 5))
    starts = [start(2 + i, 3).requires_grad_() for i in range(3)]

    def gradient(x):
        return torch.autograd.grad(node(x).square().sum(), (x, *node.parameters()))

    for x in starts:
        gradient(x)  # the grid that fits all is found
    plain, found = [gradient(x) for x in starts], {}

    def work(i):
        found[i] = [gradient(starts[i]) for _ in range(2)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, expected in enumerate(plain):
        for bars in found[i]:
            for bar, right in zip(bars, expected, strict=True):
                torch.testing.assert_close(bar, right, rtol=1e-6, atol=1e-9)


def test_a_layer_may_be_used_twice_in_one_graph():
    """One node after itself, as weight sharing has it."""
    node, x = NODE(TanhField(3, 5)), start()
    right = NODE(node.field, gradient="autograd")
    right(right(x)).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in right.named_parameters()}
    node.zero_grad(set_to_none=True)
    node(node(x)).square().sum().backward()
    assert close({name: p.grad for name, p in node.named_parameters()}, expected, 1e-6)
