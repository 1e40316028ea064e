"""Take the authors' training step of a task, and optode's; compare both by the error of h."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from benchmarks.speed import torch_steps
from benchmarks.speed.contender import STEPS, Bare, Contender, Setting, Step, Work
from benchmarks.speed.contenders import ours
from benchmarks.speed.qualification import Goal
from benchmarks.speed.tasks.networks import Around, Solve, States
from benchmarks.speed.tasks.task import TaskProblem
from benchmarks.speed.torch_contenders import Optode
from benchmarks.speed.torch_steps import TorchStep

SHARPER, SHARPEST = 1e-2, 1e-9
"""Tolerances of the reference: this part of the authors', and not below what double precision has.

Where ReLU bends f, tighter ones cost minutes and change the error in its third digit.
"""
ROUNDING = 1e-6
"""Single precision: an error below this is not asked of anyone."""
AUTHORS = "authors' step"


class TaskStep(TorchStep):
    """A training step of a whole network on the batch of a task; ``forward`` is h where it is read."""

    def __init__(self, problem: TaskProblem, network: Around, eager: Step | None = None) -> None:
        self.problem, self.model, self.eager = problem, network, eager  # type: ignore[assignment]
        self.h0 = problem.h0
        self.leaves = dict(network.named_parameters())

    def loss(self) -> Tensor:
        return self.model.loss(self.model.features(self.problem.given), self.problem.given)

    @torch.no_grad()
    def forward(self) -> Tensor:
        return self.model.features(self.problem.given)

    def work(self) -> Work:
        """Count the evaluations; those of what is compiled are those of its eager twin."""
        return self.eager.work() if self.eager else super().work()

    def peak_bytes(self) -> int | None:
        """Return the bytes of a step; what compiled code allocates on a CPU cannot be seen."""
        return super().peak_bytes() if self.h0.is_cuda or not self.eager else None


class Stretched(nn.Module):
    """Equations over intervals of the samples' own lengths, in a time that runs from 0 to 1.

    ``lengths`` is a column, one for each sample; the released code does the same.
    """

    def __init__(self, model: nn.Module, start: Tensor, lengths: Tensor) -> None:
        super().__init__()
        self.model, self.start, self.lengths = model, start, lengths

    def forward(self, t: Tensor, states: States) -> States:
        rates = self.model(self.start + t * self.lengths, states)
        return tuple(self.lengths * rate for rate in rates)


def solve_by_hand(solver: Any, model: nn.Module, exact_end: bool = False, **settings: Any) -> Solve:
    """Return a solve of equations by hand, by odeint or odeint_adjoint.

    With exact_end the last step ends at the end, where otherwise the states are interpolated.
    """

    def solve(states: States, times: Tensor | None) -> States:
        unit, func = states[0].new_tensor([0.0, 1.0]), model
        if times is not None:
            start, end = times[..., :1], times[..., 1:]
            func = Stretched(model, start, end - start)
        given = {**settings, "options": {"step_t": unit[1:]}} if exact_end else settings
        return tuple(path[-1] for path in solver(func, states, unit, **given))

    return solve


def solve_by_node(node: nn.Module) -> Solve:
    """Return a solve of a generated module, whose equations do not depend on time.

    Times that all samples share are counted from the start of the span.
    """

    def solve(states: States, times: Tensor | None) -> States:
        if times is not None and times.ndim == 1:
            times = times - times[0]
        return tuple(path[-1] for path in node.integrate(states, times).states)

    return solve


class Authors(Contender):
    """The equations by hand with odeint_adjoint, at the tolerance of the authors' code."""

    name, peer, form = f"{AUTHORS}: odeint_adjoint, dopri5", AUTHORS, "eager"

    def __init__(self, tolerance: float) -> None:
        self.ladder = (Setting("tolerance", tolerance),)

    def prepare(self, problem: Any, setting: Setting) -> Step:
        model, tolerance = problem.by_hand(), setting.value
        settings = {"rtol": tolerance, "atol": tolerance, "method": "dopri5"}
        solve = solve_by_hand(odeint_adjoint, model, **settings)
        return TaskStep(problem, problem.network(model, solve))

    def bare(self, problem: Any) -> Bare:
        return torch_steps.bare(problem)


class OnTask(Optode):
    """A contender of optode's on a task; what is compiled is the module's own solve."""

    def module(self, problem: Any, setting: Setting, more: dict[str, Any]) -> tuple[Any, Any]:
        settings: dict[str, Any] = {"rtol": setting.value, "atol": setting.value}
        if setting.kind == "steps":
            settings = {"options": {"steps": int(setting.value)}}
        made = getattr(import_module(f"generated.{problem.module}"), problem.model)
        node = made(problem.field(), span=problem.span, **settings, **more)
        node = node.to(problem.device, problem.dtype)
        return node, solve_by_node(node)

    def trial(self, problem: Any, setting: Setting) -> Step:
        model, solve = self.module(problem, setting, {**self.more, "compile": False})
        return TaskStep(problem, problem.network(model, solve))

    def prepare(self, problem: Any, setting: Setting) -> Step:
        eager = self.trial(problem, setting)
        if not self.by_module:
            return eager
        model, solve = self.module(problem, setting, self.more)
        return TaskStep(problem, problem.network(model, solve), eager)


def on_tasks() -> list[Contender]:
    """Return optode's contenders as they take part in tasks: without the loss compiled, too."""
    return [
        OnTask(c.more["gradient"], c.more["method"], c.ladder is STEPS, **extra(c.more))
        for c in ours()
        if isinstance(c, Optode) and (c.form == "eager" or c.by_module)
    ]


def extra(more: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a contender beside its gradient and method."""
    return {name: x for name, x in more.items() if name not in ("gradient", "method")}


def reference_features(problem: TaskProblem) -> np.ndarray:
    """Return h where the task reads it, in double precision: by hand, with dopri8."""
    exact = problem.to(torch.float64, problem.device)
    model, tolerance = exact.by_hand(), max(SHARPER * problem.task.tolerance, SHARPEST)
    settings = {"rtol": tolerance, "atol": tolerance, "method": "dopri8"}
    solve = solve_by_hand(odeint, model, exact_end=True, **settings)
    with torch.no_grad():
        return exact.network(model, solve).features(exact.given).cpu().numpy()


def distance(found: Tensor, wanted: np.ndarray) -> float:
    """Return the largest deviation over the largest entry, infinite where it is not finite."""
    error = np.abs(found.detach().cpu().double().numpy() - wanted).max() / np.abs(wanted).max()
    return float(error) if np.isfinite(error) else float("inf")


def equal_error(problem: TaskProblem, authors: Contender) -> Goal:
    """Return the goal that the authors' step sets: its own error of h, or that of rounding."""
    wanted = reference_features(problem)
    own = distance(authors.prepare(problem, authors.ladder[0]).forward(), wanted)

    def error(step: Step) -> float:
        step()  # as it is timed, and compiled where it is
        return distance(step.forward(), wanted)

    # a hair more, since threads may sum in another order
    return Goal(max(1.001 * own, ROUNDING), error)
