"""Make autograd see a solve as one function, with a way back of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..bars import Bars
from ..torch_internals import is_batched, without_hooks
from . import adjoint, discrete

if TYPE_CHECKING:
    from ..solve import Solve


class Trajectories(torch.autograd.Function):
    """The stacked states at the knots, solved without a graph that autograd sees."""

    @staticmethod
    def forward(ctx: Any, solve: Solve, times: Tensor, states: Tensor, *sources: Tensor) -> Tensor:
        """Solve; sources are the tensors that the gradient has to reach."""
        path = solve.path(states.detach())
        ctx.solve = solve
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(times, path, *sources)  # notices changed parameters
        return path.clone()  # the caller may change it in place

    @staticmethod
    def backward(ctx: Any, cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients by the times, the states at the start and the sources.

        None for sources that no evaluation of the field reached. Hooks of parameters see the total
        that is returned here, as they do anywhere else.
        """
        if torch.is_grad_enabled():
            raise RuntimeError('second derivatives need gradient="autograd"')
        solve: Solve = ctx.solve
        times, path, *sources = (x.detach() for x in ctx.saved_tensors)
        if is_batched(cotangents):
            raise RuntimeError(
                'cotangents in a batch (is_grads_batched, vectorize=True) need gradient="autograd"'
            )
        if cotangents is None:
            return (None,) * (3 + len(sources))
        bars = Bars(len(sources) + len(solve.clock.leaves))
        by_adjoint = solve.way_back == "adjoint"
        go_back = adjoint.integrate_adjoint if by_adjoint else discrete.go_back
        with solve.autocast(), solve.lent(), without_hooks(solve.seen.parameters()):
            costates = go_back(solve, path, cotangents, bars)
            t_bar = bars.found.pop() if solve.clock.leaves else None
            if ctx.needs_input_grad[1] and not solve.clock.leaves:
                t_bar = _by_times(solve, times, path, cotangents, costates)
        return None, t_bar, costates + cotangents[0], *bars.found


def trajectories(solve: Solve, times: Tensor, states: Tensor, *sources: Tensor) -> Tensor:
    """Return the stacked states at the knots, with a gradient by times, states and sources."""
    path: Tensor = Trajectories.apply(solve, times, states, *sources)  # type: ignore[no-untyped-call]
    return path


def _by_times(
    solve: Solve, times: Tensor, path: Tensor, cotangents: Tensor, costates: Tensor
) -> Tensor:
    """Return dL/dt_i of the exact solution: g_i F(t_i) at an observation, -a(t_0) F(t_0) at first."""
    t_bar = torch.zeros_like(times)
    for i, (t, states) in enumerate(zip(times, path)):
        weights = cotangents[i] if i else -costates
        rates = solve.node.vector_field(t.to(path.dtype), states.unbind(), solve.seen.inputs)
        t_bar[i] = (weights * torch.stack(rates)).sum(0).sum_to_size(t.shape)
        solve.stats.count_backward()
    return t_bar
