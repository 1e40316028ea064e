"""Take training steps in PyTorch; count evaluations by hooks, and memory by living tensors."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.memory import PeakMemory
from benchmarks.speed.cases import Problem
from benchmarks.speed.contender import CHAIN, Bare, Step, Work

Solve = Callable[[Tensor], Tensor]


def compiler(device: torch.device) -> Callable[..., Any]:
    """Return torch.compile: on a CPU what it compiles is called from C++, which is faster."""
    return partial(torch.compile, options={"cpp_wrapper": True} if device.type == "cpu" else None)


class TorchStep(Step):
    """A model with its field, and solve: from h at the start to h at the end."""

    def __init__(self, problem: Problem, model: nn.Module, solve: Solve) -> None:
        self.problem, self.model, self.solve = problem, model, solve
        self.h0 = problem.h0.clone().requires_grad_()
        self.leaves = {"h0": self.h0, **dict(model.named_parameters())}

    def loss(self) -> Tensor:
        return self.problem.loss(self.solve(self.h0))

    def __call__(self) -> tuple[Tensor, Mapping[str, Tensor | None]]:
        for leaf in self.leaves.values():
            leaf.grad = None
        loss = self.loss()
        loss.backward()
        return loss, {name: leaf.grad for name, leaf in self.leaves.items()}

    @torch.no_grad()
    def forward(self) -> Tensor:
        return self.solve(self.h0)

    def work(self) -> Work:
        plain = recorded = pullbacks = 0

        def pulled(cotangent: Tensor) -> None:
            nonlocal pullbacks
            pullbacks += 1

        def called(module: nn.Module, arguments: object, f: Tensor) -> None:
            nonlocal plain, recorded
            recorded += f.requires_grad
            plain += not f.requires_grad
            if f.requires_grad:
                f.register_hook(pulled)

        handle = self.model.field.register_forward_hook(called)
        loss = self.loss()
        forward = plain + recorded
        loss.backward()
        handle.remove()
        return Work(plain, recorded, pullbacks, forward, pullbacks)

    def peak_bytes(self) -> int | None:
        """Return the bytes of tensors on a CPU, or what the allocator hands out on CUDA."""
        for leaf in self.leaves.values():
            leaf.grad = None
        gc.collect()
        if self.h0.is_cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self()
            return torch.cuda.max_memory_allocated() - before
        with PeakMemory([*self.leaves.values(), self.problem.target]) as memory:
            self()
        return memory.peak


class CompiledStep(TorchStep):
    """A step whose solve is compiled, in training with its loss, as whole graphs or in parts.

    Without a compiler the solve compiles itself. Counts are those of the eager step.
    """

    def __init__(
        self, problem: Problem, model: nn.Module, solve: Solve, eager: Step, compiler: Any = None
    ) -> None:
        compiler = compiler or (lambda function: function)
        super().__init__(problem, model, compiler(solve))
        self.eager = eager
        self._loss = compiler(lambda h0: problem.loss(solve(h0)))

    def loss(self) -> Tensor:
        return self._loss(self.h0)

    def work(self) -> Work:
        return self.eager.work()

    def peak_bytes(self) -> int | None:
        """Return the peak on CUDA only: elsewhere compiled code allocates unseen."""
        return super().peak_bytes() if self.h0.is_cuda else None


def bare(problem: Problem, compiled: bool = False) -> Bare:
    """Return calls of f from h at the start: eager one by one, compiled as a chain."""
    field = problem.field()
    leaves = (problem.h0.clone().requires_grad_(), *field.parameters())
    t, cotangent = problem.h0.new_tensor(problem.span[0]), torch.ones_like(problem.h0)
    evaluations = CHAIN if compiled else 1

    def chain(h: Tensor) -> Tensor:
        for _ in range(evaluations):
            h = field(t, h)
        return h

    run = compiler(problem.device)(chain, fullgraph=True) if compiled else chain

    def recorded() -> Tensor:
        return run(leaves[0])

    def both() -> tuple[Tensor, ...]:
        return torch.autograd.grad(recorded(), leaves, cotangent)

    return Bare(torch.no_grad()(recorded), recorded, both, evaluations)
