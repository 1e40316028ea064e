"""Networks to put into a module under test: f(t, h) and f(t, x, v), with or without inputs.

Each depends on time, unless its name says otherwise, and none has a symmetric Jacobian: an adjoint
that applies J for its transpose, or a solver that forgets the time, does not pass with them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TanhOperator(nn.Module):
    """``tanh(scale*u)``, an operator with a parameter."""

    def __init__(self, scale: float = 1.25) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, u: Tensor) -> Tensor:
        return torch.tanh(self.scale * u)


class LogLoss(nn.Module):
    """``(2 + sin t) sum log(1 + scale*h^2)/40``, a loss with a parameter: one number for each sample."""

    def __init__(self, scale: float = 1.25) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        return (2 + torch.sin(t)) * torch.log1p(self.scale * h**2).flatten(1).sum(1) / 40

    def slope(self, t: Tensor, h: Tensor) -> Tensor:
        """The gradient by h, typed by hand."""
        return (2 + torch.sin(t)) * self.scale * h / (1 + self.scale * h**2) / 20


def given_to(made: type[nn.Module]) -> dict[str, nn.Module]:
    """What a class asks for beside the field: operators, and the loss."""
    names = made.operator_names
    return {name: LogLoss() if name == "loss" else TanhOperator() for name in names}


class TanhField(nn.Module):
    """``outer(tanh(inner(arguments) + sin(3 t)))`` for states of shape (..., features).

    ``arguments`` is the number of states it is called with, ``inputs`` the width of what follows.
    """

    def __init__(
        self, features: int = 4, hidden: int = 8, arguments: int = 1, inputs: int = 0
    ) -> None:
        super().__init__()
        self.inner = nn.Linear(arguments * features + inputs, hidden)
        self.outer = nn.Linear(hidden, features)

    def drive(self, t: Tensor) -> Tensor:
        """What the time adds in the hidden layer."""
        return torch.sin(3 * t)

    def hidden(self, t: Tensor, *arguments: Tensor) -> Tensor:
        return torch.tanh(self.inner(torch.cat(arguments, -1)) + self.drive(t))

    def forward(self, t: Tensor, *arguments: Tensor) -> Tensor:
        return self.outer(self.hidden(t, *arguments))

    def jacobian(self, t: Tensor, *arguments: Tensor) -> Tensor:
        """A row for each output, a column for each feature of the arguments, typed by hand."""
        slope = 1 - self.hidden(t, *arguments) ** 2
        return (self.outer.weight * slope.unsqueeze(-2)) @ self.inner.weight

    def transposed(self, t: Tensor, arguments: tuple[Tensor, ...], c: Tensor) -> Tensor:
        """J^T c, the arguments' parts one after the other."""
        return (self.jacobian(t, *arguments).mT @ c.unsqueeze(-1)).squeeze(-1)


class DriftingField(TanhField):
    """A TanhField that changes slowly with time: fitted steps are long, and few switches are met."""

    def drive(self, t: Tensor) -> Tensor:
        return t


class StillField(TanhField):
    """A TanhField that does not depend on time."""

    def drive(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)


class CountingField(TanhField):
    """Counts its calls."""

    calls = 0

    def forward(self, t: Tensor, *arguments: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(t, *arguments)

    def taken(self) -> int:
        """The calls since it was last asked."""
        calls, self.calls = self.calls, 0
        return calls


class ImageField(nn.Module):
    """Two convolutions for states of shape (batch, channels, height, width)."""

    def __init__(self, channels: int = 3, hidden: int = 4, arguments: int = 1) -> None:
        super().__init__()
        self.inner = nn.Conv2d(arguments * channels, hidden, 3, padding=1)
        self.outer = nn.Conv2d(hidden, channels, 1)

    def forward(self, t: Tensor, *arguments: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(torch.cat(arguments, 1)) + torch.sin(3 * t)))
