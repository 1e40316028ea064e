"""Wrap the parts of PyTorch that have no public name, each in one place.

``torch._foreach_add_`` adds many small gradients in one call, which halves the time of the
backward pass of a small network. ``Tensor._version`` alone shows that a buffer was changed in
place, ``_sequence_nr`` alone which node of a graph is the older, and ``Tensor._backward_hooks``
alone lets hooks rest. ``torch._C`` alone says whether hooks for saved tensors or a transform of
``torch.func`` are at work, and how many tensors hold a memory. ``UntypedStorage._cdata`` is the one
key of memory that wrapped tensors have too, as in a Jacobian-vector product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node as GraphNode
from torch.autograd.graph import saved_tensors_hooks

_AUTOCAST = frozenset(
    t for t in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(t)
)


def holds(condition: Tensor) -> bool:
    """Return the truth of a condition on values, and True where they are traced or batched."""
    if torch.compiler.is_compiling():
        return True
    try:
        return bool(condition)
    except RuntimeError:
        return True


def widest(device: torch.device) -> torch.dtype:
    """Return the widest dtype of floating-point numbers that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64


def add_scaled(into: list[Tensor], added: list[Tensor], weight: float) -> None:
    """Add weighed tensors to others in place."""
    torch._foreach_add_(into, added, alpha=weight)


def scaled(tensors: list[Tensor], weight: float) -> tuple[Tensor, ...]:
    """Return new tensors, each the weight times a given one."""
    return torch._foreach_mul(tensors, weight)


def modules_of(
    *roots: nn.Module,
) -> tuple[tuple[nn.Module, ...], list[nn.Parameter | None]]:
    """Return all modules within some, and their parameters in this order.

    ``Module.modules`` and ``parameters`` make names on their way, which costs ten times as much.
    """
    found: dict[int, nn.Module] = {}
    parameters: list[nn.Parameter | None] = []
    left = [*roots][::-1]
    while left:
        module = left.pop()
        if id(module) not in found:
            found[id(module)] = module
            parameters += module._parameters.values()
            left += [m for m in module._modules.values() if m is not None][::-1]
    return tuple(found.values()), parameters


def versions(tensors: Sequence[Tensor]) -> list[int]:
    """Return the numbers of changes that were made to tensors in place, [] where none are kept."""
    try:
        return [x._version for x in tensors]
    except RuntimeError:  # of inference mode
        return []


def version(x: Tensor) -> int:
    """Return the number of changes that were made to a tensor in place, 0 where none is kept."""
    return 0 if x.is_inference() else x._version


def age() -> int:
    """Return a number that is not above those of graph nodes made from now on in this thread."""
    return int(torch._C._autograd._get_sequence_nr())


def born(node: GraphNode | None) -> int:
    """Return the number of a graph's node: nodes are numbered as they are made."""
    return 0 if node is None else int(node._sequence_nr())


def pulled(
    values: Sequence[Tensor], costates: Sequence[Tensor], inputs: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """Return the vector-Jacobian product by every input, None where no value depends on it.

    As ``torch.autograd.grad``, without its checks, which take a fifth of the time of a small step.
    """
    found: Sequence[Tensor | None] = torch.autograd.Variable._execution_engine.run_backward(
        tuple(values),
        tuple(costates),
        False,
        False,
        tuple(inputs),
        allow_unreachable=True,
        accumulate_grad=False,
    )
    return found


@contextmanager
def without_hooks(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Suspend the hooks of leaf tensors, which are meant for a total and not for its terms."""
    hooked = [(x, x._backward_hooks) for x in tensors if x._backward_hooks]
    for x, _ in hooked:
        x._backward_hooks = None
    try:
        yield
    finally:
        for x, hooks in hooked:
            x._backward_hooks = hooks


def has_saving_hooks() -> bool:
    """Return whether hooks of a caller say where graphs save their tensors, as in checkpoints."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._autograd._top_saved_tensors_default_hooks(False) is not None


@contextmanager
def saving_hooks_at_rest() -> Iterator[None]:
    """Let graphs that a solve makes for itself keep their tensors, whatever hooks a caller has."""
    if torch.compiler.is_compiling() or not has_saving_hooks():
        yield
    else:
        with saved_tensors_hooks(lambda x: x, lambda x: x):
            yield


def is_transformed() -> bool:
    """Return whether ``torch.func`` transforms this call, or forward-mode differentiation runs."""
    if torch.compiler.is_compiling():
        return False
    level = torch._C._functorch.maybe_current_level()
    return level is not None or torch.autograd.forward_ad._current_level >= 0


def is_batched(x: Tensor | None) -> bool:
    """Return whether a tensor stands for a batch, as where many cotangents go back together."""
    if x is None:
        return False
    functorch = torch._C._functorch
    return functorch.is_legacy_batchedtensor(x) or functorch.is_batchedtensor(x)


def may_be_rewritten(x: Tensor) -> bool:
    """Return whether others may write to a tensor's memory: it was written to, or they hold it.

    A graph that made the tensor may hold its memory, too. A tensor of inference mode does not tell
    whether it was written to.
    """
    if x.layout is not torch.strided:
        return False
    if x.is_inference() or version(x) > 0:
        return True
    memory = x.untyped_storage()  # counted as one that holds it, as the tensor is
    return x.grad_fn is None and int(torch._C._storage_Use_Count(memory._cdata)) > 2


def storage_of(x: Tensor) -> tuple[int, int]:
    """Return a key of the memory that a tensor and its views share, and the tensor's bytes."""
    if x.layout is not torch.strided:
        return id(x), x._nnz() * x.element_size()
    return x.untyped_storage()._cdata, x.numel() * x.element_size()


def same_autocast(device_type: str) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function that makes contexts with the present autocast, for a backward pass."""
    if torch.compiler.is_compiling():  # a trace of an older PyTorch cannot ask
        available = device_type in _AUTOCAST
    else:
        available = torch.amp.is_autocast_available(device_type)
    if not available:
        return nullcontext
    return partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=torch.is_autocast_cache_enabled(),
    )


def random_state(device: torch.device) -> Tensor | None:
    """Return the state of a device's random numbers, None where there is none to be read."""
    if device.type == "cpu":
        return torch.get_rng_state()
    if device.type == "meta":
        return None
    module = torch.get_device_module(device)
    if device.type == "cuda" and (
        not module.is_initialized() or module.is_current_stream_capturing()
    ):
        return None
    state: Tensor = module.get_rng_state(device)
    return state
