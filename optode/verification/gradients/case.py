"""Treat a node in float64 as a map from its start and parameters x to its states z."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Tensors: TypeAlias = tuple[Tensor, ...]
Node: TypeAlias = Any
"""An instance of a generated class."""
Times: TypeAlias = Tensor | Sequence[float] | None


class GradientCase:
    """A node in float64 as a map: from x to z, and back from cotangents c to J^T c."""

    def __init__(
        self, node: Node, states: Tensor | Tensors, t: Times, inputs: Any, seed: int
    ) -> None:
        self.node = copy.deepcopy(node).double()
        self.alone = isinstance(states, Tensor)
        start = (states,) if isinstance(states, Tensor) else tuple(states)
        learned = [(name, p) for name, p in self.node.named_parameters() if p.requires_grad]
        self.parameters = tuple(p for _, p in learned)
        self.names = (*self.node.state_names[: len(start)], *(name for name, _ in learned))
        self.count = len(start)
        self.x = tuple(x.detach().double().clone() for x in (*start, *self.parameters))
        self.times = torch.as_tensor([self.node.span[1]] if t is None else t, dtype=torch.float64)
        self.inputs = () if inputs is None else (_in_float64(inputs),)
        self.generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            solution = self.integrate(self.x)
        self.steps = solution.stats.accepted
        self.z = _joined(solution.states)
        if not torch.allclose(self.z, self.forward(self.x), rtol=1e-10, atol=1e-10):
            raise ValueError("two solves differ: the field is not deterministic (dropout?)")
        self.c = self.random(self.z)

    def at(self, **settings: Any) -> GradientCase:
        """Return this case with other settings of the node."""
        twin = copy.copy(self)
        twin.node = copy.copy(self.node)  # shares the parameters
        for name, value in settings.items():
            setattr(twin.node, name, value)
        return twin

    def held(self, refinement: int = 1) -> GradientCase:
        """Return this case in equal steps: as many as the node takes by itself, times the refinement."""
        refusal = f"the exact checks need equal steps, which {self.node.method} does not take"
        probe = self._in_steps(2 * self.steps)
        try:
            with torch.no_grad():
                taken = probe.integrate(probe.x).stats.accepted
        except ValueError as error:
            raise ValueError(f"{refusal}: {error}") from error
        if taken < 2 * self.steps:
            raise ValueError(refusal)
        return self._in_steps(refinement * self.steps)

    def _in_steps(self, number: int) -> GradientCase:
        start, end = self.node.span
        options = {k: v for k, v in self.node.options.items() if k not in _OF_STEPS}
        return self.at(options={**options, "step_size": (end - start) / number})

    def random(self, like: Tensor) -> Tensor:
        """Return a tensor of standard normal entries."""
        drawn = torch.randn(like.shape, dtype=like.dtype, generator=self.generator)
        return drawn.to(like.device)

    def direction(self) -> Tensors:
        """Return a random v, in each tensor of x of its own size."""
        return tuple(size(x) * self.random(x) for x in self.x)

    def integrate(self, x: Tensors) -> Any:
        """Return the node's solution from x."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, x[self.count :], strict=True):
                parameter.copy_(value)
        states = x[0] if self.alone else x[: self.count]
        return self.node.integrate(states, self.times, *self.inputs)

    @torch.no_grad()
    def forward(self, x: Tensors) -> Tensor:
        """Return z(x) as one vector."""
        return _joined(self.integrate(x).states)

    def worst(self, errors: Sequence[float]) -> tuple[float, str]:
        """Return the largest error (nan counts as largest) and the name of its tensor."""
        i = max(range(len(errors)), key=lambda i: (math.isnan(errors[i]), errors[i]))
        return errors[i], self.names[i]

    def derivative(self, v: Tensors, step: float) -> Tensor:
        """Return J v by a central difference of order 4."""
        total = torch.zeros_like(self.z)
        for k, weight in _CENTRAL:
            ahead, behind = (self.forward(moved(self.x, s * k * step, v)) for s in (1, -1))
            total += weight / step * (ahead - behind)
        return total

    def gradient(self) -> Tensors:
        """Return the node's J^T c, one tensor for each tensor of x."""
        leaves = tuple(x.clone().requires_grad_() for x in self.x[: self.count])
        z = _joined(self.integrate((*leaves, *self.x[self.count :])).states)
        sources = (*leaves, *self.parameters)
        return torch.autograd.grad(z, sources, self.c, allow_unused=True, materialize_grads=True)


def _in_float64(inputs: Any) -> Any:
    """Return the inputs of a field in float64: a tensor, a module, or another function of time."""
    if isinstance(inputs, Tensor):
        return inputs.detach().double()
    return copy.deepcopy(inputs).double() if isinstance(inputs, nn.Module) else inputs


def _joined(states: Tensors) -> Tensor:
    return torch.cat([z.flatten() for z in states])


def moved(x: Tensors, length: float, v: Tensors) -> Tensors:
    """Return x + length*v."""
    return tuple(a + length * b for a, b in zip(x, v, strict=True))


def dot(x: Tensors, y: Tensors) -> float:
    """Return the inner product over all tensors."""
    return sum(torch.sum(a * b).item() for a, b in zip(x, y, strict=True))


def size(x: Tensor) -> float:
    """Return the root mean square; 1 if all entries are 0."""
    return x.square().mean().sqrt().item() or 1.0


_CENTRAL = ((1, 2 / 3), (2, -1 / 12))
"""Steps and weights of the central difference of order 4."""
_OF_STEPS = ("steps", "step_size", "first_step", "min_step", "max_step")
