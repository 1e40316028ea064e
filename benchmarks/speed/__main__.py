"""Run the benchmark from the command line; see --help."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.records import write_document
from benchmarks.speed.environment import environment, environment_line, pin


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description="A training step of neural ODEs, optode's and its peers', at equal error of "
        "the gradient.",
    )
    parser.add_argument("--quick", action="store_true", help="one case, in less than two minutes")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="HBNODE, GHBNODE, ...")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="small, medium, large, image")
    parser.add_argument("--only", default="", metavar="TEXT", help="contenders with it in the name")
    parser.add_argument("--tolerance-goal", type=float, default=1e-4, metavar="ERROR")
    parser.add_argument(
        "--budget", type=float, default=30.0, help="seconds of timing for each case"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock",
        default="wall",
        choices=["wall", "cpu"],
        help="cpu, with --threads 1, on a machine that is not idle",
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--growth", action="store_true", help="how the cost grows, instead")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    pin(asked.threads)
    with TemporaryDirectory() as folder:  # nothing was compiled before
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        run(asked)


def run(asked: argparse.Namespace) -> None:
    import torch  # after the threads are pinned

    torch.set_num_threads(asked.threads)
    from benchmarks.speed import running
    from optode.runtime.torch_internals import unlimited_compilations

    where = environment(asked.device) | {"clock": asked.clock}
    report = running.Report(asked.text)
    report(environment_line(where))
    work = running.run_growth if asked.growth else running.run_tables
    with unlimited_compilations():  # every contender compiles the same functions once more
        results: dict[str, Any] = work(asked, report)
    if asked.json:
        write_document(asked.json, {"environment": where, **results})


if __name__ == "__main__":
    main()
