"""Steps of each sample's own, by torchode: against torchdiffeq, sample by sample, and autograd."""

from __future__ import annotations

import pytest
import torch
from fields import TanhField
from torch import Tensor, nn
from torchdiffeq import odeint

from generated.adam_guarded import GuardedAdamNODE
from generated.heavy_ball import HBNODE

pytest.importorskip("torchode", reason="the solver under test")

WIDTH = 3
# one slow sample and one whose field is ten times as strong
STRENGTH = torch.tensor([1.0, 10.0, 3.0, 1.0], dtype=torch.float64)
OWN_TIMES = torch.tensor(
    [[0.0, 0.3, 1.0], [0.0, 0.5, 0.5], [0.2, 0.4, 2.0], [0.7, 0.7, 0.7]], dtype=torch.float64
)
# with a tolerance at which a step is accepted for one sample and rejected for another
METHODS = {"dopri5": 1e-6, "tsit5": 1e-6, "heun": 1e-3}
pytestmark = pytest.mark.usefixtures("float64")


class Field(TanhField):
    """A field of the strength that comes with each sample."""

    def forward(self, t: Tensor, h: Tensor, strength: Tensor) -> Tensor:
        return strength[:, None] * super().forward(t, h)


def ball(method: str = "torchode:dopri5", tolerance: float = 1e-8, **settings) -> HBNODE:
    torch.manual_seed(0)
    return HBNODE(Field(WIDTH), method=method, rtol=tolerance, atol=tolerance, **settings)


def batch() -> Tensor:
    return torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(1))


def one_by_one(node: HBNODE, h0: Tensor, times: Tensor) -> Tensor:
    """Every sample alone, by torchdiffeq at 1e-11, equations typed by hand: (n, batch, WIDTH)."""

    def solve(h0: Tensor, strength: Tensor, times: Tensor) -> Tensor:
        def heavy_ball(t, states):
            h, m = states
            return m, -torch.sigmoid(node.raw_gamma) * m + node.field(t, h, strength)

        knots, place = torch.unique_consecutive(times, return_inverse=True)
        if len(knots) == 1:
            return h0.expand(len(times), -1)
        start = (h0[None], torch.zeros_like(h0)[None])
        h, _ = odeint(heavy_ball, start, knots, rtol=1e-11, atol=1e-11)
        return h[place, 0]

    rows = times.expand(len(h0), -1)
    paths = [solve(h0[i], STRENGTH[i : i + 1], rows[i]) for i in range(len(h0))]
    return torch.stack(paths, dim=1)


def gradients(node: HBNODE, h0: Tensor, path: Tensor) -> list[Tensor]:
    """Of a loss with a weight for each value, by the start and the parameters."""
    weights = torch.randn(path.shape, generator=torch.Generator().manual_seed(2))
    return list(torch.autograd.grad((weights * path).sum(), (h0, *node.parameters())))


def assert_close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for x, y in zip(found, wanted, strict=True):
        assert (x - y).norm() < tolerance * y.norm()


TIMES = pytest.mark.parametrize(
    "times", [torch.tensor([0.0, 0.3, 1.0]).double(), OWN_TIMES], ids=["shared", "own"]
)


@TIMES
@pytest.mark.parametrize("method", ["dopri5", "tsit5"])
def test_solution(method, times):
    node = ball(f"torchode:{method}", 1e-9)
    with torch.no_grad():
        found = node(batch(), times, STRENGTH)
        wanted = one_by_one(node, batch(), times)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_sample_is_solved_as_if_alone():
    """The batch around a sample changes nothing: this is what torchode is for."""
    h0, times = batch(), torch.tensor([0.4, 1.0])
    for method, alike in (("torchode:dopri5", True), ("dopri5", False)):
        node = ball(method, 1e-3)
        with torch.no_grad():
            together = node(h0, times, STRENGTH)
            alone = [node(h0[i : i + 1], times, STRENGTH[i : i + 1]) for i in range(len(h0))]
        error = (together - torch.cat(alone, dim=1)).abs().max()
        assert (error < 1e-12) == alike


@TIMES
@pytest.mark.parametrize("method", METHODS)
def test_discrete_gradient_is_that_of_the_solver(method, times):
    """Against backpropagation through torchode."""

    def found(gradient: str) -> list[Tensor]:
        node = ball(f"torchode:{method}", METHODS[method], gradient=gradient)
        h0 = batch().requires_grad_()
        return gradients(node, h0, node(h0, times, STRENGTH))

    assert_close(found("discrete"), found("autograd"), 1e-10)


@TIMES
@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
def test_gradient_of_the_solution(gradient, times):
    node, h0 = ball(tolerance=1e-9, gradient=gradient), batch().requires_grad_()
    found = gradients(node, h0, node(h0, times, STRENGTH))
    wanted = gradients(node, h0, one_by_one(node, h0, times))
    assert_close(found, wanted, 1e-6)


def test_every_state_of_adam():
    """Three states, and images instead of vectors."""
    alpha, beta = torch.sigmoid(torch.tensor([-3.0, -5.0]))
    h0 = batch().view(4, 1, WIDTH, 1)

    def adam(t, states):
        h, m, v = states
        g = -torch.sin(3 * h)
        step = m / (nn.functional.softplus(v).sqrt() + 1e-8)
        return -step, alpha * (g - m), beta * (g**2 - v)

    node = GuardedAdamNODE(
        lambda t, h: torch.sin(3 * h), method="torchode:dopri5", rtol=1e-8, atol=1e-8
    )
    with torch.no_grad():
        node.raw_alpha.fill_(-3.0)
        node.raw_beta.fill_(-5.0)
        found = node.integrate(h0, [1.0]).states
    start, span = (h0, *[torch.zeros_like(h0)] * 2), torch.tensor([0.0, 1.0])
    wanted = odeint(adam, start, span, rtol=1e-11, atol=1e-11)
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x[0], y[1], rtol=1e-6, atol=1e-7)


def test_work_is_counted():
    node, h0 = ball(tolerance=1e-5), batch().requires_grad_()
    solution = node.integrate(h0, None, STRENGTH)
    stats = solution.stats
    assert stats.accepted > 0
    assert stats.forward_nfe >= 6 * (stats.accepted + stats.rejected)
    assert stats.backward_nfe == 0
    solution.states.h[-1].sum().backward()
    assert stats.backward_nfe > 0


def test_a_solve_that_fails_says_so():
    with pytest.raises(FloatingPointError, match="status"):
        ball(options={"max_steps": 2})(batch(), None, STRENGTH)
    explosion = HBNODE(lambda t, h: 50 * h**3, method="torchode:dopri5")
    with pytest.raises(FloatingPointError, match=r"status|finite"):
        explosion(batch())


def test_what_torchode_cannot_solve_is_refused():
    with pytest.raises(ValueError, match="method must be one of"):
        ball("torchode:rk4")
    with pytest.raises(ValueError, match="needs a batch"):
        ball()(batch()[0], None, STRENGTH)
