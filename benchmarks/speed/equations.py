"""Write the models by hand, as for torchdiffeq, and name optode's module of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Tensors = tuple[Tensor, ...]


class HeavyBall(nn.Module):
    """h' = m, m' = -gamma m + f(t, h), from m = 0."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field
        self.raw_gamma = nn.Parameter(torch.tensor(-3.0))

    def start(self, h: Tensor) -> Tensors:
        return h, torch.zeros_like(h)

    def forward(self, t: Tensor, states: Tensors) -> Tensors:
        h, m = states
        return m, -torch.sigmoid(self.raw_gamma) * m + self.field(t, h)


class GeneralizedHeavyBall(nn.Module):
    """h' = tanh(m), m' = -gamma m - xi h + f(t, h), from m = 0."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field
        self.raw_gamma = nn.Parameter(torch.tensor(-3.0))
        self.raw_xi = nn.Parameter(torch.tensor(2.0))

    def start(self, h: Tensor) -> Tensors:
        return h, torch.zeros_like(h)

    def forward(self, t: Tensor, states: Tensors) -> Tensors:
        h, m = states
        gamma, xi = torch.sigmoid(self.raw_gamma), functional.softplus(self.raw_xi)
        return self.velocity(m), -gamma * m - xi * h + self.field(t, h)

    def velocity(self, m: Tensor) -> Tensor:
        """Return h'."""
        return torch.tanh(m)


class Adam(nn.Module):
    """h' = -m / (sqrt(v) + eps), m' = alpha (-f - m), v' = beta (f^2 - v), from m = 0, v = 1."""

    eps = 1e-8

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field
        self.raw_alpha = nn.Parameter(torch.tensor(3.0))
        self.raw_beta = nn.Parameter(torch.tensor(3.0))

    def start(self, h: Tensor) -> Tensors:
        return h, torch.zeros_like(h), torch.ones_like(h)

    def forward(self, t: Tensor, states: Tensors) -> Tensors:
        h, m, v = states
        alpha, beta = torch.sigmoid(self.raw_alpha), torch.sigmoid(self.raw_beta)
        f = self.field(t, h)
        return -m / (torch.sqrt(self.guard(v)) + self.eps), alpha * (-f - m), beta * (f**2 - v)

    def guard(self, v: Tensor) -> Tensor:
        """Return what the root is taken of."""
        return v


class HardHeavyBall(GeneralizedHeavyBall):
    """The generalised heavy ball with h' = hardtanh(m, -5, 5)."""

    def velocity(self, m: Tensor) -> Tensor:
        return functional.hardtanh(m, -5.0, 5.0)


class GuardedAdam(Adam):
    """Adam as its authors released it: sqrt(softplus(v)) for sqrt(v), and rates of 0.0067, 0.9933."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__(field)
        self.raw_alpha = nn.Parameter(torch.tensor(-5.0))
        self.raw_beta = nn.Parameter(torch.tensor(5.0))

    def guard(self, v: Tensor) -> Tensor:
        return functional.softplus(v)


class Nesterov(nn.Module):
    """h' = m, m' = -(3/t) m + f(t, h), from m = 0."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def start(self, h: Tensor) -> Tensors:
        return h, torch.zeros_like(h)

    def forward(self, t: Tensor, states: Tensors) -> Tensors:
        h, m = states
        return m, -3 / t * m + self.field(t, h)


@dataclass(frozen=True)
class Model:
    """The equations by hand, the file in generated/ that has them, and the span they are solved on."""

    by_hand: type[nn.Module]
    module: str
    span: tuple[float, float] = (0.0, 1.0)


MODELS = {
    "HBNODE": Model(HeavyBall, "heavy_ball"),
    "GHBNODE": Model(GeneralizedHeavyBall, "generalized_heavy_ball"),
    "AdamNODE": Model(Adam, "adam"),
    "NesterovNODE": Model(Nesterov, "nesterov", (1.0, 2.0)),
}
# Those of the tasks, beside the heavy ball and the generalised one.
OF_TASKS = {
    **{name: MODELS[name] for name in ("HBNODE", "GHBNODE")},
    "HardGHBNODE": Model(HardHeavyBall, "generalized_heavy_ball_hardtanh"),
    "GuardedAdamNODE": Model(GuardedAdam, "adam_guarded"),
}
