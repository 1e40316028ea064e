"""Define the networks of the tasks around an ODE: what makes its start, and what reads it off."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.speed.tasks.data import Batch

States = tuple[Tensor, ...]
Solve = Callable[[States, Tensor | None], States]
"""From the states at the start, and the times of start and end, to the states at the end."""


class PlainField(nn.Module):
    """f(t, h): linear layers of these sizes with tanh between."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(sizes))

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        *inner, last = self.layers
        for layer in inner:
            h = torch.tanh(layer(h))
        return last(h)


class ImageField(nn.Module):
    """f(t, h) of the papers' images: convolutions of 1 x 1, 3 x 3 and 1 x 1 with ReLU between."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        channels, hidden, _, out = sizes
        self.first = nn.Conv2d(channels, hidden, 1)
        self.middle = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.last = nn.Conv2d(hidden, out, 1)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        return self.last(torch.relu(self.middle(torch.relu(self.first(h)))))


class Around(nn.Module):
    """A network around an ODE, whose model is given together with its solve.

    count: the number of states of the model.
    """

    def __init__(self, model: nn.Module, solve: Solve, count: int) -> None:
        super().__init__()
        self.model, self.solve, self.count = model, solve, count

    @property
    def field(self) -> nn.Module:
        """The network f of the ODE."""
        field: nn.Module = self.model.field
        return field

    def start(self, batch: Batch) -> States:
        """Return all states at the start."""
        raise NotImplementedError

    def features(self, batch: Batch) -> Tensor:
        """Return h wherever the task reads it: at the end, unless overridden."""
        return self.solve(self.start(batch), None)[0]

    def loss(self, h: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the features."""
        raise NotImplementedError


class Digits(Around):
    """An image with zero channels beside it, and the other states from a convolution of it."""

    def __init__(
        self, model: nn.Module, solve: Solve, count: int, channels: int, side: int = 28
    ) -> None:
        super().__init__(model, solve, count)
        self.channels = channels
        self.others = nn.Conv2d(channels, channels * (count - 1), 3, padding=1)
        self.head = nn.Linear(channels * side * side, 10)

    def start(self, batch: Batch) -> States:
        h = functional.pad(batch.inputs, (0, 0, 0, 0, 0, self.channels - 1))
        return (h, *self.others(h).chunk(self.count - 1, 1))

    def loss(self, h: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(self.head(h.flatten(1)), batch.targets)


class Points(Around):
    """Points, with the other states from a linear map of them."""

    def __init__(self, model: nn.Module, solve: Solve, count: int, features: int) -> None:
        super().__init__(model, solve, count)
        self.others = nn.Linear(features, features * (count - 1))
        self.head = nn.Linear(features, 1)

    def start(self, batch: Batch) -> States:
        return (batch.inputs, *self.others(batch.inputs).chunk(self.count - 1, 1))

    def loss(self, h: Tensor, batch: Batch) -> Tensor:
        return functional.mse_loss(torch.tanh(self.head(h)), batch.targets)


class Sequences(Around):
    """A residual recurrent cell at each row, and the ODE from row to row.

    The cell moves all states, which begin as zeros: z + tanh(W [x, z]).
    """

    def __init__(
        self, model: nn.Module, solve: Solve, count: int, features: int, channels: int
    ) -> None:
        super().__init__(model, solve, count)
        size = count * features
        self.size = features
        self.cell = nn.Linear(channels + size, size)
        self.head = nn.Linear(features, channels)

    def start(self, batch: Batch) -> States:
        zeros = batch.inputs.new_zeros(len(batch.inputs), self.size)
        return (zeros,) * self.count

    def features(self, batch: Batch) -> Tensor:
        assert batch.times is not None
        states, found = self.start(batch), []
        for i, x in enumerate(batch.inputs.unbind(1)):
            joined = torch.cat(states, 1)
            joined = joined + torch.tanh(self.cell(torch.cat([x, joined], 1)))
            states = joined.chunk(self.count, 1)
            if i + 1 < batch.inputs.shape[1]:
                states = self.solve(states, batch.times[..., i : i + 2])
            found.append(states[0])
        return torch.stack(found, 1)

    def loss(self, h: Tensor, batch: Batch) -> Tensor:
        return functional.mse_loss(self.head(h), batch.targets)
