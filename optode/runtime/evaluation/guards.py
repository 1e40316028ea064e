"""Refuse fields whose values or gradients would silently be wrong.

A solve evaluates the field many times, and its gradient does so again. So the field has to be a
function of the time, its states and its inputs, and may read no learned tensor that no gradient
would reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node as GraphNode

from ..aliases import Tensors
from ..torch_internals import (
    born,
    is_transformed,
    may_be_rewritten,
    random_state,
    storage_of,
    version,
)

LOOKS = 2
"""How many evaluations of a solve are looked at: a cache shows itself in the second."""


class Guard:
    """Watch the first evaluations of a solve.

    ``sources`` are the tensors that the gradient reaches; None where autograd's own graph is the
    way back, which reaches all. With ``pure`` the field may not draw random numbers or change its
    buffers. While ``copies``, the field's values have to be copied, since a later evaluation may
    write over them: two values lay in one place, or somebody else holds the memory of one.
    """

    def __init__(
        self,
        node: nn.Module,
        modules: Sequence[nn.Module],
        device: torch.device,
        pure: bool,
        sources: Tensors | None,
    ) -> None:
        self.node, self.modules, self.device = node, modules, device
        self.pure, self.sources = pure, sources
        self.left, self.copies, self.shared = LOOKS, True, False
        self.values: list[Tensor] = []
        self.subject = " or ".join(("field", *getattr(node, "operator_names", ())))

    def note(self, value: Tensor) -> None:
        """Keep a value of the field, so that memory is seen to be used twice."""
        if self.left and not is_transformed():  # a tangent is computed by wrapped tensors
            self.shared = self.shared or may_be_rewritten(value)
            self.values.append(value)

    def over(self, evaluate: Callable[[], Any]) -> Any:
        """Run an evaluation and return its value; ValueError if it changed what it may not."""
        looks_first = self.pure and self.left == LOOKS
        before = _Snapshot(self.device, self.modules) if looks_first else None
        found = evaluate()
        if before is not None and (change := before.change()):
            before.restore()
            raise ValueError(
                f"{self.subject} {change}: it is no function of t and the states. Call field.eval(), give "
                'what changes as inputs, or use gradient="autograd"'
            )
        self.left -= 1
        self._look_at_memory()
        return found

    def _look_at_memory(self) -> None:
        """Note whether values of two evaluations lie in one place; all of them are still held."""
        memory = [storage_of(x)[0] for x in self.values]
        self.copies = self.left == LOOKS - 1 or self.shared or len({*memory}) < len(memory)
        if not self.left:
            self.values.clear()

    def check_sources(self, outputs: Sequence[Tensor], known: Iterable[Tensor], since: int) -> None:
        """Refuse outputs whose graph reaches a learned tensor by a way that no gradient goes.

        ``known`` are the tensors that were evaluated at; ``since`` is the age of the evaluation.
        """
        if self.sources is None:
            return
        ends = {None, *(x.grad_fn for x in known)}
        reached = {id(x) for x in self.sources}
        leaves = {id(x) for x in known} | reached
        for old, leaf in _leaves(outputs, ends, since):
            if id(leaf) not in leaves:
                raise ValueError(
                    f"{self.subject} uses a tensor that requires a gradient and is no parameter of this "
                    'module: register it, give it as inputs, or use gradient="autograd"'
                )
            if old:
                raise ValueError(
                    f"{self.subject} uses a value that was computed from {self._name(leaf)} before (a "
                    "cached or prepared weight), through which no gradient would go: compute it in "
                    'the field at every evaluation, or use gradient="autograd"'
                )

    def _name(self, source: Tensor) -> str:
        named = {id(x): name for name, x in self.node.named_parameters()}
        return named.get(id(source), "the inputs")


def _leaves(
    outputs: Sequence[Tensor], ends: set[GraphNode | None], since: int
) -> Iterable[tuple[bool, Tensor]]:
    """Return the leaves of a graph, each with whether a node on the way is older than since."""
    nodes = [(False, node) for x in outputs if (node := x.grad_fn) is not None]
    seen: set[tuple[bool, GraphNode]] = set()
    while nodes:
        old, node = nodes.pop()
        if node in ends or (old, node) in seen:
            continue
        seen.add((old, node))
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            yield old, leaf
            continue
        old = old or (born(node) < since and not _is_cached_by_autocast(node))
        nodes += [(old, source) for source, _ in node.next_functions if source is not None]


def _is_cached_by_autocast(node: GraphNode) -> bool:
    """Return whether a node is a parameter's cast, which autocast makes once and uses again."""
    if not torch.is_autocast_cache_enabled() or node.name() != "ToCopyBackward0":
        return False
    return all(hasattr(source, "variable") for source, _ in node.next_functions)


class Given:
    """Hold the arguments of one of the first evaluations, to see whether the field changes them."""

    def __init__(self, given: Sequence[object]) -> None:
        flat = [y for x in given for y in (x if isinstance(x, tuple) else (x,))]
        self.tensors = [x for x in flat if isinstance(x, Tensor)]
        self.versions = [version(x) for x in self.tensors]
        # a tensor of inference mode keeps no version
        self.values = [x.clone() if x.is_inference() else x for x in self.tensors]

    def changed(self) -> bool:
        """Return whether one of the tensors was changed in place."""
        if self.versions != [version(x) for x in self.tensors]:
            return True
        pairs = zip(self.tensors, self.values)
        return not all(x is y or torch.equal(x, y) for x, y in pairs)


class _Snapshot:
    """Hold the state of the random numbers, and the buffers of the modules that take part."""

    def __init__(self, device: torch.device, modules: Sequence[nn.Module]) -> None:
        self.device, self.modules = device, modules
        self.random = random_state(device)
        self.buffers = self._buffers()
        self.versions = [version(buffer) for _, _, buffer in self.buffers]
        # counters change in evaluation, too
        self.values = [
            b.clone() if m.training or b.numel() == 1 else None for m, _, b in self.buffers
        ]

    def _buffers(self) -> list[tuple[nn.Module, str, Tensor]]:
        return [
            (m, name, buffer)
            for m in self.modules
            for name, buffer in m._buffers.items()
            if buffer is not None
        ]

    def change(self) -> str:
        """Return in words what the field changed, "" for nothing."""
        random = random_state(self.device)
        if not (random is None or self.random is None or torch.equal(random, self.random)):
            return "draws random numbers, as dropout does"
        for (module, name, buffer), number in zip(self.buffers, self.versions):
            if module._buffers.get(name) is not buffer or version(buffer) != number:
                return f"changes its buffer {name}, as batch norm does in training"
        return ""

    @torch.no_grad()
    def restore(self) -> None:
        """Put buffers back, with their values where these were kept."""
        for (module, name, buffer), value in zip(self.buffers, self.values):
            if value is not None:
                buffer.copy_(value)
            module._buffers[name] = buffer
