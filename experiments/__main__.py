"""Run the studies from the command line; see --help."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from optode.codegen.files import folder_problem, replace
from optode.diagnostics import SpecError
from optode.study.record import StudyError

RESULTS = Path(__file__).parent / "results"


ANALYSES = {
    "conventions": "count the backward evaluations of one gradient by the conventions in use",
    "overshoot": "see how far untrained models go over a long time",
    "spectrum": "see what becomes of gradients over the time of a model",
    "features": "see how the features of the spheres come apart in training",
    "rates": "train at several learning rates",
    "released_spheres": "train nested spheres as the released notebooks do, and under equal conditions",
    "released": "train the walks as the released code does, and with what differs undone",
    "released_vibration": "train plane vibration as the released code does",
    "released_mnist": "train MNIST as the released code does, and with the starts exchanged",
}

NEED_DATA = ("released", "released_vibration", "released_mnist")
TRAINED = ("released_spheres", *NEED_DATA)
"""The analyses whose runs are kept, so that a killed one goes on."""


def arguments() -> argparse.Namespace:
    from experiments.models import COMPARED, MODELS
    from experiments.presets import PRESETS

    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    run = commands.add_parser("run", help="train the models on a task; what is done is kept")
    run.add_argument("task", choices=[*PRESETS["standard"], "all"])
    run.add_argument("--preset", choices=[*PRESETS], default="quick")
    run.add_argument("--models", nargs="+", choices=[*MODELS], default=COMPARED)
    run.add_argument("--seeds", type=int, help="instead of the preset's")
    words = "refuse what would take more minutes on the machine, by the first steps"
    run.add_argument("--budget", type=float, metavar="MINUTES", default=float("inf"), help=words)
    for name, words in ANALYSES.items():
        each = commands.add_parser(name, help=words)
        each.add_argument("--models", nargs="+", choices=[*MODELS], default=COMPARED)
        each.add_argument("--results", type=Path, metavar="DIR", default=RESULTS)
    data = os.environ.get("OPTODE_DATA")
    for each in (run, *(commands.choices[name] for name in NEED_DATA)):
        each.add_argument("--data", type=Path, metavar="DIR", default=Path(data) if data else None)
    for each in (run, *(commands.choices[name] for name in TRAINED)):
        each.add_argument("--runs", type=Path, metavar="DIR", default=Path("experiment-runs"))
        each.add_argument("--jobs", type=int, default=2)
    run.add_argument("--results", type=Path, metavar="DIR", default=RESULTS)
    written = {"report": "write the tables and figures", "figures": "draw the figures"}
    for name, words in written.items():
        each = commands.add_parser(name, help=f"{words} from the results")
        each.add_argument("--output", type=Path, metavar="DIR", default=Path("docs/studies"))
        each.add_argument("--results", type=Path, metavar="DIR", default=RESULTS)
    return parser.parse_args()


def analyse(name: str, models: list[str], results: Path, **more: Any) -> None:
    """Measure something else than a training, print it and keep it."""
    from importlib import import_module

    from experiments.running import rounded

    table = rounded(import_module(f"experiments.{name}").measure(models, **more))
    print(table.to_string(index=False))
    replace({results / f"{name}.csv": table.to_csv(index=False)})


def check_folders(asked: argparse.Namespace) -> None:
    """Raise SpecError for folders that cannot be written, before hours of work."""
    given = (vars(asked).get(name) for name in ("runs", "results", "output"))
    if problems := [p for folder in given if folder and (p := folder_problem(folder))]:
        raise SpecError(problems)


def main() -> None:
    asked = arguments()
    try:
        check_folders(asked)
        if asked.command == "run":
            from experiments.running import run

            run(asked)
        elif asked.command in ANALYSES:
            more = {name: value for name, value in vars(asked).items() if name in ("data", "jobs")}
            if "runs" in asked:
                more["runs"] = asked.runs / asked.command
            analyse(asked.command, asked.models, asked.results, **more)
        else:
            from experiments import report

            make = report.write if asked.command == "report" else report.draw
            make(asked.results, asked.output)
    except StudyError as problem:
        sys.exit(f"error: {problem}")
    except SpecError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
