"""Profile a training step with PyTorch's profiler: python -m benchmarks.speed.bounds."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.speed.environment import environment, environment_line, pin

WARM, CALLS = 20, 200
# The first that is in the name of what the profiler saw, whose own time is counted.
GROUPS = {
    "compiled kernels and what calls them": ("CompiledFxGraph",),
    "autograd and Dynamo": ("Backward", "autograd", "Compiled", "Dynamo", "AOT", "bytecode"),
    "matrix products and convolutions": ("mm", "conv", "matmul"),
    "other operations": ("",),
}


def group(name: str) -> str:
    found = (key for key, parts in GROUPS.items() if any(part in name for part in parts))
    return next(found)


def shares(call: Callable[[], Any], calls: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the microseconds and the numbers of operations of a call, by group.

    Time outside of all operations is counted as Python's.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as seen:
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        whole = 1e6 * (time.perf_counter() - begun)
    spent: Counter[str] = Counter(dict.fromkeys(GROUPS, 0))
    counts: Counter[str] = Counter()
    for event in seen.key_averages():
        spent[group(event.key)] += event.self_cpu_time_total
        counts[group(event.key)] += event.count
    spent["Python between them"] = max(0.0, whole - sum(spent.values()))
    return {k: x / calls for k, x in spent.items()}, {k: n / calls for k, n in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.bounds", description=__doc__)
    parser.add_argument("--model", default="HBNODE")
    parser.add_argument("--case", default="small")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    pin(asked.threads)
    import torch

    torch.set_num_threads(asked.threads)
    from benchmarks.speed.cases import CASES, problem
    from benchmarks.speed.contender import Setting
    from benchmarks.speed.tables import aligned
    from benchmarks.speed.timing import interleaved
    from benchmarks.speed.torch_contenders import Optode

    print(environment_line(environment("cpu")))
    given = problem(asked.model, CASES[asked.case])
    for gradient, compiled in (("discrete", False), ("autograd", True)):
        contender = Optode(gradient, asked.method, steps=True, compiled=compiled)
        step = contender.prepare(given, Setting("steps", asked.steps))
        for _ in range(WARM):
            step()
        seconds = interleaved({"step": step}, 3.0)["step"]
        calls = max(3, min(CALLS, int(2 / seconds.min())))
        spent, counts = shares(step, calls)
        print(f"\n{given}: {contender.name}, {asked.steps} steps, {step.work().forward} NFE")
        print(f"{1e3 * sorted(seconds)[len(seconds) // 2]:.2f} ms without the profiler; with it:\n")
        rows = [("spent on", "us", "share", "calls")]
        for name, x in spent.items():
            share = f"{100 * x / sum(spent.values()):.0f} %"
            rows.append((name, f"{x:.0f}", share, f"{counts.get(name, 0):.0f}"))
        print(aligned(rows))


if __name__ == "__main__":
    main()
