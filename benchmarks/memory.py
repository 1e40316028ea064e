"""Measure the peak memory of a training step against the number of solver steps.

    python -m benchmarks.memory [--device cuda] [--json FILE] [--plot FILE.png]

The contenders are an HBNODE with each of its three gradients, and its equations written by hand
under torchdiffeq's odeint and odeint_adjoint, with equal network, weights, method and steps. The
discrete gradient should keep one state a step, autograd and odeint one graph a step, the adjoints
nothing. Counted are the bytes of all tensors that live at once beyond those that exist before the
forward pass: on a CPU from the birth and death of every storage, on CUDA as its allocator reports
them (in blocks of 512 bytes).
"""

from __future__ import annotations

import argparse
import gc
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchdiffeq import odeint, odeint_adjoint

import optode
from benchmarks.records import write_document

METHOD = "midpoint"
BATCH, FEATURES, WIDTH = 64, 64, 64
STEPS = tuple(2**k for k in range(3, 11))
GRADIENTS = ("discrete", "adjoint", "autograd")
BY_HAND = {"odeint": odeint, "odeint_adjoint": odeint_adjoint}


class PeakMemory(TorchDispatchMode):
    """Record the most bytes that tensors hold at once, without those that exist before.

    The results of every operation are seen, views once; scratch space inside an operation is not.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.existing = list(existing)
        self.living = {t.untyped_storage()._cdata for t in self.existing}
        self.bytes = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.living:
            return
        self.living.add(key)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, key, size).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self.living.discard(key)
        self.bytes -= size


class Network(nn.Module):
    """The field: two layers with tanh between."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, FEATURES)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(h)))


class ByHand(nn.Module):
    """h' = m, m' = -gamma m + f(t, h), as one writes it for torchdiffeq."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field
        self.raw_gamma = nn.Parameter(torch.tensor(-3.0))

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, m = states
        return m, -torch.sigmoid(self.raw_gamma) * m + self.field(t, h)


class Contender:
    """A model whose training step is measured, by name."""

    def __init__(self, name: str, field: nn.Module, device: str) -> None:
        self.name = name
        if name in GRADIENTS:
            # of equal steps the tolerances decide nothing but a warning of the adjoint's
            settings = {"method": METHOD, "gradient": name, "rtol": 1.0, "atol": 1.0}
            self.model = optode.compile("heavy_ball")(field, **settings)
        else:
            self.model = ByHand(field)
        self.model.to(device)

    def solve(self, h: Tensor, steps: int) -> Tensor:
        """Return h at the end of [0, 1], solved in so many equal steps."""
        options = {"step_size": 1 / steps}
        if self.name in GRADIENTS:
            # every step is recomputed: no graphs are kept
            self.model.options = options | {"keep": 0}
            return self.model(h)
        span = torch.tensor([0.0, 1.0], device=h.device)
        solver = BY_HAND[self.name]
        states = (h, torch.zeros_like(h))
        return solver(self.model, states, span, method=METHOD, options=options)[0][-1]

    def training_step(self, h: Tensor, steps: int) -> Tensor:
        """Take a training step (forward, loss, backward); return h at the end."""
        end = self.solve(h, steps)
        end.square().mean().backward()
        return end.detach()


def peak_bytes(contender: Contender, h: Tensor, steps: int) -> tuple[int, Tensor]:
    """Return the peak (bytes) of one training step, and h at its end; all gradients are new."""
    contender.model.zero_grad()
    gc.collect()
    if h.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        end = contender.training_step(h, steps)
        return torch.cuda.max_memory_allocated() - before, end
    with PeakMemory([h, *contender.model.parameters(), *contender.model.buffers()]) as memory:
        end = contender.training_step(h, steps)
    return memory.peak, end


def measured(device: str) -> dict[str, list[int]]:
    """Return the peaks of every contender in bytes, one for each number of steps.

    Raises RuntimeError where the contenders do not solve the same problem.
    """
    torch.manual_seed(0)
    field, h = Network(), torch.randn(BATCH, FEATURES, device=device)
    contenders = [Contender(name, field, device) for name in (*GRADIENTS, *BY_HAND)]
    for contender in contenders:
        contender.training_step(h, 1)  # libraries allocate on the first call
    peaks: dict[str, list[int]] = {contender.name: [] for contender in contenders}
    for steps in STEPS:
        ends = []
        for contender in contenders:
            peak, end = peak_bytes(contender, h, steps)
            peaks[contender.name].append(peak)
            ends.append(end)
        if not all(torch.allclose(ends[0], end, rtol=1e-4, atol=1e-5) for end in ends):
            raise RuntimeError(f"the contenders differ at {steps} steps")
    return peaks


def bytes_per_step(peaks: list[int]) -> float:
    """Return the slope of the peak over the steps, by least squares."""
    return float(np.polyfit(STEPS, peaks, 1)[0])


def state_bytes() -> int:
    """Return the bytes of both states, h and m, in float32."""
    return 2 * BATCH * FEATURES * 4


def table(peaks: dict[str, list[int]]) -> str:
    """Return a table of peaks in MiB by the number of steps, and of what each step adds."""
    slopes = [bytes_per_step(peak) for peak in peaks.values()]
    lines = [("steps", *peaks)]
    for i, steps in enumerate(STEPS):
        lines.append((str(steps), *(f"{peak[i] / 2**20:.2f}" for peak in peaks.values())))
    lines.append(("bytes a step", *(f"{round(slope)}" for slope in slopes)))
    lines.append(("states a step", *(f"{abs(slope) / state_bytes():.2f}" for slope in slopes)))
    return "\n".join(
        f"{line[0]:14}" + "".join(f"{cell:>16}" for cell in line[1:]) for line in lines
    )


def plot(peaks: dict[str, list[int]], path: Path) -> None:
    """Draw the peak memory over the number of steps, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.0), layout="constrained", dpi=160)
    axes = figure.add_subplot()
    styles = zip(("-", "-", "-", "--", "--"), ("o", "s", "^", "v", "x"), strict=True)
    for (name, peak), (line, marker) in zip(peaks.items(), styles, strict=True):
        label = name if name in GRADIENTS else f"by hand, {name}"
        axes.loglog(STEPS, np.array(peak) / 2**20, line, marker=marker, markersize=4, label=label)
    axes.set(xlabel="steps", ylabel="peak memory of a training step (MiB)")
    axes.grid(True, which="major", linewidth=0.4, alpha=0.6)
    axes.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    peaks = measured(arguments.device)
    print(f"HBNODE, {METHOD}, h of shape ({BATCH}, {FEATURES}), float32, {arguments.device}")
    print(f"peak MiB of a training step; one state (h and m) has {state_bytes()} bytes\n")
    print(table(peaks))
    if arguments.json:
        slopes = {name: bytes_per_step(peak) for name, peak in peaks.items()}
        document = {
            "device": arguments.device,
            "method": METHOD,
            "state_bytes": state_bytes(),
            "steps": STEPS,
            "peak_bytes": peaks,
            "bytes_per_step": slopes,
        }
        write_document(arguments.json, document)
    if arguments.plot:
        plot(peaks, arguments.plot)


if __name__ == "__main__":
    main()
