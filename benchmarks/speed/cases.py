"""Define what is solved: networks, their data, and the problem that all contenders are given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.speed.equations import MODELS

# Weights of nn.Linear and nn.Conv2d as PyTorch draws them, times this. Untrained, a network of this
# depth hardly bends the solution, and one step of any method would do.
GAIN = 2.0


@dataclass(frozen=True)
class Case:
    """A network and its batch: layers of these sizes with tanh between, linear ones for vectors.

    For images of a given side they are convolutions, 3 x 3 in the middle and 1 x 1 at both ends.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    side: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of h, the batch first."""
        return (self.batch, self.sizes[0], *[self.side] * 2 * bool(self.side))

    def __str__(self) -> str:
        kind = f"convolution on {self.side}x{self.side}" if self.side else "MLP"
        return f"{kind} {'-'.join(map(str, self.sizes))}, batch {self.batch}"


CASES = {
    case.name: case
    for case in (
        Case("small", (2, 20, 20, 2), 50),
        Case("medium", (24, 48, 48, 24), 256),
        Case("large", (64, 256, 256, 64), 1024),
        # MNIST's, with tanh for ReLU: the reference needs a field without kinks
        Case("image", (5, 49, 49, 5), 32, side=28),
    )
}


class Field(nn.Module):
    """The network f(t, h): the layers of a case."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        pairs = list(zip(case.sizes, case.sizes[1:], strict=False))
        widths = [3 if 0 < i < len(pairs) - 1 else 1 for i in range(len(pairs))]
        self.layers = nn.ModuleList(
            nn.Conv2d(m, n, width, padding=width // 2) if case.side else nn.Linear(m, n)
            for (m, n), width in zip(pairs, widths, strict=True)
        )

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        *inner, last = self.layers
        for layer in inner:
            h = torch.tanh(layer(h))
        return last(h)


@dataclass(frozen=True, eq=False)
class Problem:
    """A model, its field's weights, h at the start, and the target of h at the end.

    The loss is the mean square of h - target.
    """

    model: str
    case: Case
    span: tuple[float, float]
    weights: dict[str, Tensor]
    h0: Tensor
    target: Tensor

    @property
    def dtype(self) -> torch.dtype:
        return self.h0.dtype

    @property
    def device(self) -> torch.device:
        return self.h0.device

    def __str__(self) -> str:
        return f"{self.model} on [{self.span[0]:g}, {self.span[1]:g}], {self.case}"

    def field(self) -> Field:
        """Return a new network with the weights."""
        field = Field(self.case).to(self.device, self.dtype)
        field.load_state_dict(self.weights)
        return field

    def loss(self, h: Tensor) -> Tensor:
        return (h - self.target).square().mean()

    def to(self, dtype: torch.dtype, device: str | torch.device = "cpu") -> Problem:
        """Return the problem in another precision or on another device."""
        weights = {name: x.to(device, dtype) for name, x in self.weights.items()}
        h0, target = self.h0.to(device, dtype), self.target.to(device, dtype)
        return replace(self, weights=weights, h0=h0, target=target)

    def part(self, samples: slice) -> Problem:
        """Return the problem for some of the samples; the loss is the mean over these."""
        return replace(self, h0=self.h0[samples], target=self.target[samples])


def problem(model: str, case: Case, end: float | None = None, gain: float = GAIN) -> Problem:
    """Draw the problem from one seed, in float32 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = {name: gain * x.detach() for name, x in Field(case).named_parameters()}
        h0, target = torch.randn(2, *case.shape)
    start, usual_end = MODELS[model].span
    return Problem(model, case, (start, end or usual_end), weights, h0, target)
