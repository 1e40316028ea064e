"""Measure grid="auto" in training from the command line; see --help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import Report, write_document
from benchmarks.speed.environment import environment, environment_line, pin
from benchmarks.training_grid.contenders import GRADIENTS, contenders
from benchmarks.training_grid.report import document, report_problem
from benchmarks.training_grid.training import EVERY, regression, train

# Of benchmarks/speed.
MODELS = ("HBNODE", "GHBNODE", "AdamNODE", "NesterovNODE")
CASES = ("small", "medium")
STEPS, QUICK_STEPS = 500, 150


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_grid",
        description='A training run with grid="auto", against adaptive solves and fixed grids.',
    )
    parser.add_argument("--quick", action="store_true", help="one model and case, and fewer steps")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[])
    parser.add_argument("--gradients", nargs="+", choices=GRADIENTS, default=GRADIENTS)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="rtol and atol")
    parser.add_argument(
        "--steps", type=int, help=f"training steps, {STEPS} unless told ({QUICK_STEPS} if quick)"
    )
    parser.add_argument(
        "--every", type=int, default=EVERY, help="training steps from sample to sample"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock",
        default="wall",
        choices=["wall", "cpu"],
        help="cpu, with --threads 1, on a machine that is not idle",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    return parser.parse_args(words)


def run(asked: argparse.Namespace) -> None:
    """Train on every model and case that is asked for."""
    report, first = Report(asked.text), 1 if asked.quick else None
    settings = {
        "clock": asked.clock,
        "tolerance": asked.tolerance,
        "steps": asked.steps or (QUICK_STEPS if asked.quick else STEPS),
    }
    where = environment("cpu") | settings
    report(environment_line(where))
    problems: list[dict[str, Any]] = []
    for model in asked.models or MODELS[:first]:
        for case in asked.cases or CASES[:first]:
            given = regression(model, case)
            entrants = [
                contender
                for gradient in asked.gradients
                for contender in contenders(gradient, asked.tolerance)
            ]
            runs = train(given, entrants, every=asked.every, **settings)
            report_problem(given, runs, report)
            problems.append({"problem": str(given), **document(runs)})
    if asked.json:
        write_document(asked.json, {"environment": where, "problems": problems})


def main() -> None:
    asked = arguments()
    pin(asked.threads)
    import torch

    torch.set_num_threads(asked.threads)
    run(asked)


if __name__ == "__main__":
    main()
