"""Solve with optode's modules, and the equations by hand with torchdiffeq and torchode."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed import torch_steps
from benchmarks.speed.cases import Problem
from benchmarks.speed.contender import STEPS, TOLERANCES, Bare, Contender, Setting, Step
from benchmarks.speed.equations import MODELS
from benchmarks.speed.torch_steps import CompiledStep, TorchStep


class TorchContender(Contender):
    """A contender in PyTorch: a model and how it is solved at a setting, compiled if asked for."""

    def __init__(self, name: str, steps: bool, compiled: bool) -> None:
        self.name = name + ", fixed" * steps + ", compiled" * compiled
        self.ladder = STEPS if steps else TOLERANCES
        self.form = "compiled" if compiled else "eager"

    def build(self, problem: Problem, setting: Setting) -> tuple[nn.Module, Any]:
        """Return the model and its solve."""
        raise NotImplementedError

    def compiler(self, problem: Problem) -> Any:
        """Return torch.compile with its arguments."""
        return torch_steps.compiler(problem.device)

    def trial(self, problem: Problem, setting: Setting) -> Step:
        return TorchStep(problem, *self.build(problem, setting))

    def prepare(self, problem: Problem, setting: Setting) -> Step:
        eager = self.trial(problem, setting)
        if self.form == "eager":
            return eager
        built = self.build(problem, setting)
        return CompiledStep(problem, *built, eager, self.compiler(problem))

    def bare(self, problem: Problem) -> Bare:
        return torch_steps.bare(problem, self.form == "compiled")


class Optode(TorchContender):
    """A generated module, by one of its methods and gradients, and more of its arguments.

    What is compiled is the solve with its loss; with compile=True it is the module's own solve.
    """

    def __init__(
        self, gradient: str, method: str, steps: bool = False, compiled: bool = False, **more: Any
    ) -> None:
        by_module = bool(more.get("compile"))
        words = "".join(f", {k} {v}" for k, v in more.items() if k != "compile")
        words += ", fixed" * (steps and by_module) + ", compile=True" * by_module
        super().__init__(f"optode {gradient}, {method}{words}", steps and not by_module, compiled)
        self.ladder = STEPS if steps else TOLERANCES
        self.more = {"gradient": gradient, "method": method, **more}
        self.by_module = by_module
        if compiled or by_module:
            self.peer, self.form = "optode compiled", "compiled"
        else:
            self.peer = "optode"
        if steps and gradient != "adjoint":  # both gradients are exact, up to rounding
            self.family = f"optode {method} in equal steps"
            self.group = f"{self.form} {gradient}"

    def build(self, problem: Problem, setting: Setting) -> tuple[nn.Module, Any]:
        return self.module(problem, setting, self.more)

    def module(
        self, problem: Problem, setting: Setting, more: dict[str, Any]
    ) -> tuple[nn.Module, Any]:
        """Return the module with its arguments, as model and as solve."""
        module = import_module(f"generated.{MODELS[problem.model].module}")
        settings: dict[str, Any] = {"rtol": setting.value, "atol": setting.value}
        if setting.kind == "steps":
            settings = {"options": {"steps": int(setting.value)}}
        node = getattr(module, problem.model)(
            problem.field(), span=problem.span, **settings, **more
        )
        return node.to(problem.device, problem.dtype), node

    def trial(self, problem: Problem, setting: Setting) -> Step:
        more = {**self.more, "compile": False}
        return TorchStep(problem, *self.module(problem, setting, more))

    def prepare(self, problem: Problem, setting: Setting) -> Step:
        if not self.by_module:
            return super().prepare(problem, setting)
        eager = self.trial(problem, setting)
        return CompiledStep(problem, *self.build(problem, setting), eager)

    def compiler(self, problem: Problem) -> Any:
        if problem.device.type == "cuda":  # the whole solve as CUDA graphs
            return partial(torch.compile, fullgraph=True, mode="reduce-overhead")
        return partial(super().compiler(problem), fullgraph=True)


def by_hand(problem: Problem) -> nn.Module:
    """Return the equations by hand, with a field of their own."""
    model = MODELS[problem.model].by_hand(problem.field())
    return model.to(problem.device, problem.dtype)


class Torchdiffeq(TorchContender):
    """The equations by hand under odeint or odeint_adjoint."""

    def __init__(
        self, solver: str, method: str, steps: bool = False, seminorm: bool = False
    ) -> None:
        super().__init__(f"{solver}{' seminorm' * seminorm}, {method}", steps, False)
        self.solver, self.method, self.peer = solver, method, f"torchdiffeq {solver}"
        self.more: dict[str, Any] = {"adjoint_options": {"norm": "seminorm"}} if seminorm else {}

    def build(self, problem: Problem, setting: Setting) -> tuple[nn.Module, Any]:
        solver = getattr(import_module("torchdiffeq"), self.solver)
        model, times = by_hand(problem), problem.h0.new_tensor(problem.span)
        settings: dict[str, Any] = {"rtol": setting.value, "atol": setting.value, **self.more}
        if setting.kind == "steps":
            settings = {"options": {"step_size": setting.length(problem.span)}}

        def solve(h0: Tensor) -> Tensor:
            path = solver(model, model.start(h0), times, method=self.method, **settings)
            return path[0][-1]

        return model, solve


class Torchode(TorchContender):
    """The equations by hand under torchode, whose steps are each sample's own."""

    peer, needs = "torchode", ("torchode",)

    def __init__(self, method: str, steps: bool = False, compiled: bool = False) -> None:
        super().__init__(f"torchode {method}", steps, compiled)
        self.method = method

    def build(self, problem: Problem, setting: Setting) -> tuple[nn.Module, Any]:
        torchode, model = import_module("torchode"), by_hand(problem)
        batch, shape = len(problem.h0), problem.h0.shape
        start, end = (problem.h0.new_full((batch,), t) for t in problem.span)
        pieces = len(model.start(problem.h0))
        column = (-1, *[1] * (len(shape) - 1))

        def flat(states: tuple[Tensor, ...]) -> Tensor:
            return torch.cat([x.flatten(1) for x in states], 1)

        def split(y: Tensor) -> tuple[Tensor, ...]:
            return tuple(x.reshape(shape) for x in y.chunk(pieces, 1))

        def rates(t: Tensor, y: Tensor) -> Tensor:
            return flat(model(t.view(column), split(y)))

        term = torchode.ODETerm(rates, with_stats=False)
        controller, length = torchode.FixedStepController(), setting.length(problem.span)
        length = torch.full_like(start, length)
        if setting.kind == "tolerance":
            tolerance = setting.value
            controller = torchode.IntegralController(tolerance, tolerance, term=term)
            length = None
        method = getattr(torchode, self.method)(term)
        # without the gradient of the step sizes, which costs time and changes no order
        solver = torchode.AutoDiffAdjoint(
            method, controller, max_steps=1000, backprop_through_step_size_control=False
        )

        def solve(h0: Tensor) -> Tensor:
            given = torchode.InitialValueProblem(flat(model.start(h0)), start, end)
            return split(solver.solve(given, term, length).ys[:, -1])[0]

        return model, solve
