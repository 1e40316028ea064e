"""Refuse fields whose gradient would be wrong without a word.

Gradients that evaluate the field again need a field that is a function of the time, its states
and its inputs, and that reads no learned tensor which no gradient would reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node as GraphNode

from ..aliases import Tensors
from ..torch_internals import version


@contextmanager
def pure(field: Callable[..., Tensor], device: torch.device) -> Iterator[None]:
    """Refuse a field that draws random numbers or changes its buffers meanwhile."""
    before = _fingerprint(field, device)
    yield
    if before != _fingerprint(field, device):
        raise ValueError(
            "field draws random numbers or changes its buffers (dropout, batch norm): it is no "
            "function of t and the states. Call field.eval(), give what is drawn as inputs, or "
            'use gradient="autograd"'
        )


def _fingerprint(field: Callable[..., Tensor], device: torch.device) -> tuple[bytes, list[int]]:
    """Return the state of the random numbers and the versions of the field's buffers."""
    buffers = field.buffers() if isinstance(field, nn.Module) else ()
    source = torch if device.type == "cpu" else torch.get_device_module(device)
    return source.get_rng_state().numpy().tobytes(), [version(buffer) for buffer in buffers]


def check_sources(outputs: Tensors, known: Iterable[Tensor]) -> None:
    """Refuse outputs whose graph reaches a learned tensor beside the known ones."""
    known = tuple(known)
    reached = {id(x) for x in known}
    nodes: list[GraphNode | None] = [x.grad_fn for x in outputs]
    seen: set[GraphNode | None] = {None, *(x.grad_fn for x in known)}
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [source for source, _ in node.next_functions]
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in reached:
            raise ValueError(
                "field uses a tensor that requires a gradient and is no parameter of this module: "
                'register it, give it as inputs, or use gradient="autograd"'
            )


def module_parameters(*sources: object) -> list[Tensor]:
    """Return all parameters of those sources that are modules."""
    return [p for source in sources if isinstance(source, nn.Module) for p in source.parameters()]


def learned_tensors(parameters: Iterable[Tensor], *sources: object) -> Tensors:
    """Return the parameters, and the sources that are tensors, which require a gradient."""
    tensors = (*parameters, *(source for source in sources if isinstance(source, Tensor)))
    return tuple(p for p in dict.fromkeys(tensors) if p.requires_grad)
