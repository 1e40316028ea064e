"""Train two generated models on one task and compare them: `python examples/demo.py --help`.

The task is plane vibration when --data or OPTODE_DATA names a folder that has pv.csv, else nested
spheres. Both models get the same encoder, field, decoder, learning rate and start; only the ODE differs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from picture import draw
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from tasks import Task, load_task
from torch import nn
from training import Result, train

ROOT = Path(__file__).resolve().parent.parent
MODELS = (("adam", "AdamNODE"), ("heavy_ball", "HBNODE"))


def main() -> None:
    options = parse_options()
    console = Console(quiet=options.quiet, highlight=False)
    torch.set_num_threads(options.threads)
    classes = [load_class(options.generated / f"{file}.py", name) for file, name in MODELS]
    task = load_task(options.data, options.seed)
    epochs = options.epochs or task.epochs
    console.print(f"Task: {task.description}")
    console.print(
        f"{len(task.train)} training and {len(task.test)} test examples, {epochs} epochs, "
        f"seed {options.seed}, {options.threads} CPU thread(s)\n"
    )
    results = [train_with_bar(node, task, epochs, options.seed, console) for node in classes]
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / "demo.png"
    draw(task, results, picture)
    console.print(summary(task, results))
    console.print(f"Picture: {picture}", soft_wrap=True)


def parse_options() -> argparse.Namespace:
    data = os.environ.get("OPTODE_DATA")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="DIR", default=Path(data) if data else None)
    parser.add_argument("--epochs", type=int, help="default: about half a minute for each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("demo-output"))
    parser.add_argument(
        "--generated", type=Path, metavar="DIR", default=ROOT / "generated", help="where adam.py is"
    )
    parser.add_argument("--quiet", action="store_true", help="write the picture, print nothing")
    options = parser.parse_args()
    if options.epochs is not None and options.epochs < 1:
        parser.error("--epochs: expected 1 or more")
    return options


def load_class(path: Path, name: str) -> type[nn.Module]:
    """The class of a generated module, wherever it was written; it needs torch and torchdiffeq only."""
    if not path.is_file():
        sys.exit(f"{path} is missing: write it with `optode generate {path.stem} -o {path.parent}`")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    node_class: type[nn.Module] = getattr(module, name)
    return node_class


def train_with_bar(
    node_class: type[nn.Module], task: Task, epochs: int, seed: int, console: Console
) -> Result:
    """Train behind a progress bar; no bar where the output is not a terminal."""
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[losses]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(node_class.__name__, total=epochs, losses="")

        def report(train_loss: float, test_loss: float) -> None:
            progress.update(bar, advance=1, losses=f"train {train_loss:.4f}  test {test_loss:.4f}")

        return train(node_class, task, epochs, seed, report)


def summary(task: Task, results: Sequence[Result]) -> Table:
    """One row for each model, and below them what simpler predictions reach."""
    table = Table(
        title=task.name,
        caption="losses: mean squared error\nNFE: evaluations of the field in one solve, last epoch",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("model", no_wrap=True)
    for heading in ("params", "epochs", "train", "test", "NFE fwd", "NFE bwd", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.name,
            f"{result.parameters:,}",
            str(len(result.train_curve)),
            f"{result.train_curve[-1]:.4f}",
            f"{result.test_curve[-1]:.4f}",
            f"{result.forward_nfe:.0f}",
            f"{result.backward_nfe:.0f}",
            f"{result.seconds:.1f}",
        )
    table.add_section()
    for name, loss in task.baselines:
        table.add_row(name, "", "", "", f"{loss:.4f}", "", "", "")
    return table


if __name__ == "__main__":
    main()
