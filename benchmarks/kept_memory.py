"""Measure what ``keep`` does to the peak memory, and whether long training leaves memory flat.

    python -m benchmarks.kept_memory [--steps 5000] [--json FILE]

The first table is of a convolution on images of MNIST's size, with heavy ball and Adam, in float32:
the peak of one training step (forward, loss, backward) with ``keep=0``, with the default, and of
``gradient="autograd"``, beside its bound: the states at the ends of all steps, and the peak of a
training step of one solver step by autograd. Counted are the bytes of all tensors that live at once
(see ``benchmarks.memory``).

The second is of training steps with batch sizes drawn at random from 1 to 64, eager and compiled:
the resident memory of the process after each tenth of them. It grows at first, while libraries and
compilers allocate.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import optode
from benchmarks.memory import PeakMemory
from benchmarks.records import write_document

SOLVER_STEPS = 4
MODELS = ("heavy_ball", "adam")
CASES: dict[str, dict[str, Any]] = {
    "keep=0": {"options": {"keep": 0}},
    "default": {},
    "autograd": {"gradient": "autograd"},
}


class Convolution(nn.Module):
    """The field: 1 x 1, 3 x 3 and 1 x 1 convolutions with ReLU between, as the papers have."""

    def __init__(self, channels: int = 6, width: int = 40) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        found: Tensor = self.layers(h)
        return found


def peak_of(model: str, steps: int, h: Tensor, **settings: Any) -> int:
    """Return the peak (bytes) of a training step with so many equal solver steps of dopri5."""
    options = {**settings.pop("options", {}), "steps": steps}
    node = optode.compile(model)(Convolution(), method="dopri5", options=options, **settings)
    for _ in range(2):  # libraries allocate on the first call
        node.zero_grad(set_to_none=True)
        gc.collect()
        with PeakMemory([h, *node.parameters()]) as memory:
            node(h).square().mean().backward()
    return memory.peak


def peaks() -> dict[str, dict[str, int]]:
    """Return the peaks of every model and case, with the bound on that of ``keep=0``."""
    torch.manual_seed(0)
    h = torch.randn(64, 6, 28, 28)
    found = {}
    for model in MODELS:
        row = {name: peak_of(model, SOLVER_STEPS, h, **case) for name, case in CASES.items()}
        states = len(optode.compile(model).state_names)
        ends = (SOLVER_STEPS + 1) * states * h.numel() * h.element_size()
        row["bound"] = ends + peak_of(model, 1, h, gradient="autograd")
        found[model] = row
    return found


def resident() -> float:
    """Return the resident memory of this process in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def growth(steps: int, compiled: bool) -> list[float]:
    """Return the resident memory (MiB) after each tenth of so many training steps."""
    torch.manual_seed(0)
    field = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8))
    settings = (
        {"method": "interpolation3", "options": {"steps": 2}, "compile": True} if compiled else {}
    )
    node = optode.compile("heavy_ball")(field, **settings)
    optimizer = torch.optim.Adam(node.parameters())
    found = []
    for k in range(steps):
        optimizer.zero_grad()
        size = int(torch.randint(1, 65, ()))
        node(torch.randn(size, 8)).square().mean().backward()
        optimizer.step()
        if (k + 1) % max(1, steps // 10) == 0:
            found.append(resident())
    return found


def main() -> None:
    """Print both tables; write them to a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = peaks()
    print(f"{'peak, MiB':12}" + "".join(f"{name:>12}" for name in (*CASES, "bound")))
    for model, row in found.items():
        print(f"{model:12}" + "".join(f"{size / 2**20:12.1f}" for size in row.values()))
    print(f"\nresident MiB after each tenth of {arguments.steps} training steps")
    flat = {}
    for name, compiled in (("eager", False), ("compiled", True)):
        flat[name] = growth(arguments.steps, compiled)
        print(f"{name:12}" + "".join(f"{size:8.0f}" for size in flat[name]), flush=True)
    if arguments.json:
        write_document(arguments.json, {"peaks": found, "resident": flat})


if __name__ == "__main__":
    main()
