"""Solve by torchdiffeq, whose steps are noticed one by one."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..aliases import Tensors
from ..methods.catalogue import METHODS
from ..methods.step import Step
from ..reasons import GROWS
from ..times import number_of_steps

if TYPE_CHECKING:
    from ..solve import Solve


def _solvers() -> dict[str, Any]:
    """Return the solver classes of torchdiffeq by the names of their methods.

    The table has no public name; the names and the callbacks that a solver knows stand nowhere
    else.
    """
    from torchdiffeq._impl.odeint import SOLVERS

    solvers: dict[str, Any] = SOLVERS
    return solvers


def solver_names() -> tuple[str, ...]:
    """Return the names of torchdiffeq's methods."""
    return tuple(_solvers())


def solve_by_torchdiffeq(solve: Solve, states: Tensor) -> Tensor:
    """Return the states at the knots, at which steps end."""
    knots = solve.clock.knots
    whole = solve.stats.method not in METHODS and solve.clock.speeds is None
    path = [states[None]]
    for i, ends in enumerate([knots] if whole else pairwise(knots)):
        values = _odeint(solve, i, solve.clock.times.new_tensor(ends), path[-1][-1].unbind())
        path.append(torch.stack(values, 1)[1:])
    return torch.cat(path)


def _odeint(solve: Solve, i: int, times: Tensor, states: Tensors) -> Tensors:
    """Return torchdiffeq's states at the times, from the first of them on."""
    from torchdiffeq import odeint

    method, node = solve.stats.method, solve.node
    solver = _solvers()[method]
    adaptive = hasattr(solver, "tableau")
    begun: list[tuple[float, Tensors]] = []

    first, last = times[0].item(), times[-1].item()

    def field(t: Tensor, states: Tensors) -> Tensors:
        solve.count_forward(1)
        t = t.clamp(first, last)  # a first trial step may be longer than the whole solve
        return solve.evaluation.plain(i, t, torch.stack(states)).rates.unbind()

    def notice(event: str, t: Tensor, states: Tensors, dt: Tensor) -> None:
        solve.notices.step(event, i, t, states, dt)
        if event == ("callback_accept_step" if adaptive else "callback_step"):
            begun.append((t.item(), states))

    for event in solver.valid_callbacks():
        setattr(field, event, partial(notice, event))
    settings = {"rtol": node.rtol, "atol": node.atol, "method": method}
    try:
        values: Tensors = odeint(
            field, states, times, options=_options(solve, times, adaptive), **settings
        )
    except AssertionError as error:
        where = solve.clock.grid.words(times[0].item())
        why = solve.reason(i, times[0].item(), torch.stack(states), GROWS)
        raise FloatingPointError(f"after {where} {error}: {why}") from error
    ends = [t for t, _ in begun[1:]] + [times[-1].item()]
    for (start, point), end in zip(begun, ends):
        solve.keep(i, Step(start, end - start, torch.stack(point)))
    return values


def _options(solve: Solve, times: Tensor, adaptive: bool) -> dict[str, Any]:
    """Return torchdiffeq's options: its steps end at the times, and are held fixed."""
    options: dict[str, Any] = {"norm": largest_norm, **solve.node.options}
    options.pop("adjoint_norm", None)
    norm = worst_sample if options["norm"] == "sample" else options["norm"]
    options["norm"] = torch.no_grad()(norm)
    if adaptive:
        cuts = {float(t) for name in ("step_t", "jump_t") for t in options.get(name, ())}
        ends = [t for t in times[1:].tolist() if t not in cuts]
        options["step_t"] = times.new_tensor([*map(float, options.get("step_t", ())), *ends])
    method = METHODS.get(solve.stats.method)
    if method and not method.estimates:
        size = [options.pop(name, None) for name in ("steps", "step_size")]
        options.setdefault("grid_constructor", partial(_equal_steps, *size))
    return options


def _equal_steps(
    steps: int | None, step_size: float | None, field: Any, states: Any, times: Tensor
) -> Tensor:
    """Return the times and, between them, equal steps, as torchdiffeq asks for a grid."""
    grid = []
    for start, end in pairwise(times):
        n = number_of_steps(steps, step_size, (end - start).item())
        grid.append(
            start + (end - start) * torch.arange(n, dtype=times.dtype, device=times.device) / n
        )
    return torch.cat([*grid, times[-1:]])


def largest_norm(tensors: Tensors) -> Tensor:
    """Return the largest root mean square, as torchdiffeq does, and infinity for nan."""
    squares = [x.abs().pow(2).sum() / max(1, x.numel()) for x in tensors]
    return torch.stack(squares).max().sqrt().nan_to_num(torch.inf, torch.inf)


def worst_sample(tensors: Tensors) -> Tensor:
    """Return the largest root mean square of one sample, and infinity for nan."""
    rows = [x.reshape(*x.shape[:1], -1) for x in tensors if x.numel()]
    sizes = [row.square().mean(-1).max() for row in rows] or [tensors[0].new_zeros(())]
    return torch.stack(sizes).max().sqrt().nan_to_num(torch.inf, torch.inf)
