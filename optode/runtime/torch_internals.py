"""Wrap the parts of PyTorch that have no public name, each in one place.

``torch._foreach_add_`` adds many small gradients in one call, which halves the time of the
backward pass of a small network. ``Tensor._version`` alone shows that a buffer was changed in
place, ``_sequence_nr`` alone which node of a graph is the older, and ``Tensor._backward_hooks``
alone lets hooks rest. ``torch._C`` alone says whether hooks for saved tensors or a transform of
``torch.func`` are at work, and how many tensors hold a memory. ``UntypedStorage._cdata`` is the one
key of memory that wrapped tensors have too, as in a Jacobian-vector product. ``torch._dynamo`` alone
says whether a call compiled, and has the limits of its cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import Node as GraphNode
from torch.autograd.graph import saved_tensors_hooks

_CACHE_LIMITS = {"cache_size_limit": 2**16, "accumulated_cache_size_limit": 2**16}


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


def is_exporting() -> bool:
    """Return whether ``torch.export`` traces this call."""
    exporting = getattr(torch.compiler, "is_exporting", None)  # PyTorch 2.7 has it
    return bool(exporting is not None and exporting())


def add_scaled(into: list[Tensor], added: list[Tensor], weight: float) -> None:
    """Add weighed tensors to others in place."""
    torch._foreach_add_(into, added, alpha=weight)


def scaled(tensors: list[Tensor], weight: float) -> tuple[Tensor, ...]:
    """Return new tensors, each the weight times a given one."""
    return torch._foreach_mul(tensors, weight)


def version(x: Tensor) -> int:
    """Return the number of changes that were made to a tensor in place, 0 where none is kept."""
    return 0 if x.is_inference() else x._version


@torch.enable_grad()
def age() -> int:
    """Return a number that is below those of graph nodes made from now on in this thread."""
    return born(torch.ones((), requires_grad=True, device="cpu").view(()).grad_fn)


def born(node: GraphNode | None) -> int:
    """Return the number of a graph's node, in the order in which nodes were made."""
    return 0 if node is None else int(node._sequence_nr())


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


def random_state(device: torch.device) -> Tensor | None:
    """Return the state of a device's random numbers, None where there is none to be read."""
    if device.type == "cpu":
        return torch.get_rng_state()
    module = torch.get_device_module(device)
    if device.type == "cuda" and (
        not module.is_initialized() or module.is_current_stream_capturing()
    ):
        return None
    state: Tensor = module.get_rng_state(device)
    return state


def graphs_compiled() -> int:
    """Return the number of graphs that ``torch.compile`` has compiled in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@contextmanager
def unlimited_compilations() -> Iterator[None]:
    """Let ``torch.compile`` keep one graph for each kind of node, however many there are."""
    with torch._dynamo.config.patch(_CACHE_LIMITS):
        yield
