"""Define the networks of the tasks: the field f, and what stands around an ODE."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from optode.runtime import ODERNN
from optode.study.task import Examples, Output, Sizes


class Layers(nn.Module):
    """f(t, states): linear layers with tanh between, of the states side by side."""

    def __init__(self, features: int, sizes: Sizes, arguments: int = 1) -> None:
        super().__init__()
        every = (arguments * features, *sizes, features)
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(every))

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        """Return the rate, of the shape of one state."""
        *inner, last = self.layers
        x = states[0] if len(states) == 1 else torch.cat(states, -1)
        for layer in inner:
            x = torch.tanh(layer(x))
        rate: Tensor = last(x)
        return rate


class Flow(nn.Module):
    """Points that move as the ODE says, and a linear map of where they end.

    The inputs are h at the start, with zeros beside them where h has more features: there is no
    encoder that could do a model's work.
    """

    def __init__(self, node: Any, features: int, outputs: int) -> None:
        super().__init__()
        self.features = features
        self.node, self.head = node, nn.Linear(features, outputs)

    def start(self, points: Tensor) -> Tensor:
        """Return h at the start."""
        return nn.functional.pad(points, (0, self.features - points.shape[-1]))

    def forward(self, examples: Examples) -> Output:
        """Return the outputs of the points, of shape (samples, outputs)."""
        solution = self.node.integrate(self.start(examples.inputs))
        return Output(self.head(solution.states[0][-1]), solution.stats)


class Forecast(nn.Module):
    """A linear map of the inputs to h at the start, and one of h at the times to the outputs.

    The outputs are those at equally spaced times, the last at the end of the span.
    """

    times: Tensor

    def __init__(self, node: Any, features: int, inputs: int, shape: tuple[int, int]) -> None:
        super().__init__()
        count, outputs = shape
        self.node = node
        node.observe = "interpolate"  # the times need no steps of their own
        self.encoder, self.head = nn.Linear(inputs, features), nn.Linear(features, outputs)
        start, end = node.span
        times = torch.linspace(start, end, count + 1)[1:]
        self.register_buffer("times", times, persistent=False)

    def forward(self, examples: Examples) -> Output:
        """Return the forecast, of shape (samples, times, outputs)."""
        solution = self.node.integrate(self.encoder(examples.inputs), self.times)
        return Output(self.head(solution.states[0]).movedim(0, 1), solution.stats)


class Sequences(nn.Module):
    """A gated recurrent unit at each row of a sequence, and the ODE from row to row.

    Times are counted from the start of the ODE's span. With ``last`` the output is that after the
    last row alone.
    """

    def __init__(
        self, node: Any, features: int, shape: tuple[int, int], last: bool = False
    ) -> None:
        super().__init__()
        inputs, outputs = shape
        self.last = last
        self.rnn = ODERNN(node, nn.GRUCell(inputs, features), nn.Linear(features, outputs))

    @property
    def node(self) -> Any:
        """The ODE between the rows."""
        return self.rnn.node

    def forward(self, examples: Examples) -> Output:
        """Return the outputs, of shape (samples, rows, outputs), or (samples, outputs)."""
        assert examples.times is not None  # sequences have times
        solution = self.rnn.integrate(examples.inputs, examples.times + self.node.span[0])
        h = solution.states[0]
        return Output(self.rnn.readout(h[:, -1] if self.last else h), solution.stats)


class Convolutions(nn.Module):
    """f(t, states) of images: convolutions of 1 x 1, 3 x 3 and 1 x 1 with ReLU between."""

    def __init__(self, channels: int, sizes: Sequence[int], arguments: int = 1) -> None:
        super().__init__()
        first, second = sizes
        self.first = nn.Conv2d(arguments * channels, first, 1)
        self.middle = nn.Conv2d(first, second, 3, padding=1)
        self.last = nn.Conv2d(second, channels, 1)

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        """Return the rate, of the shape of one state."""
        x = states[0] if len(states) == 1 else torch.cat(states, 1)
        rate: Tensor = self.last(torch.relu(self.middle(torch.relu(self.first(x)))))
        return rate


class Images(nn.Module):
    """Images with zero channels beside theirs, that move as the ODE says, and a linear head."""

    def __init__(self, node: Any, channels: int, side: int, classes: int = 10) -> None:
        super().__init__()
        self.node, self.channels = node, channels
        self.head = nn.Linear(channels * side * side, classes)

    def forward(self, examples: Examples) -> Output:
        """Return the scores of the classes, of shape (samples, classes)."""
        missing = self.channels - examples.inputs.shape[1]
        start = nn.functional.pad(examples.inputs, (0, 0, 0, 0, 0, missing))
        solution = self.node.integrate(start)
        return Output(self.head(solution.states[0][-1].flatten(1)), solution.stats)
