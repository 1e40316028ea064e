"""Measure the methods table from the command line; see --help."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.methods import models, running, tables
from benchmarks.progress import progress
from benchmarks.provenance import ROOT, commit
from benchmarks.speed.environment import environment, pin

RESULTS = ROOT / "benchmarks" / "results" / "methods.json"
QUICK = ("adam", "generalized_heavy_ball", "gradient_descent", "heavy_ball")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods",
        description="The evaluations of f with which every method reaches an error of h, on every "
        "shipped model. What is in the file already is not measured again on the same code.",
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", help="of generated/, by default all")
    parser.add_argument("--methods", nargs="+", metavar="NAME", default=(), help="only these")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)}, printed")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"instead of {RESULTS.name}")
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    parser.add_argument("--tables", action="store_true", help="write the text from the file only")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    shown = asked.quick or asked.models or asked.methods
    file = asked.json or (None if shown else RESULTS)
    if asked.tables:
        file = file or RESULTS
        file.with_suffix(".txt").write_text(tables.document_text(json.loads(file.read_text())))
        return
    pin(asked.processes)
    running.one_thread()
    names = asked.models or (QUICK if asked.quick else models.names())
    found = {} if file is None or asked.again else running.read(file)
    names = [n for n in names if not running.is_current(found.get(n), n, asked.methods)]
    where = environment("cpu") | commit()
    with progress("models", len(names)) as done:
        for name, record in running.measured(names, asked.methods, asked.processes):
            found[name] = record
            done(name)
            if file:
                running.write(file, where, found)
            if shown:
                print(tables.model_table(record) + "\n", flush=True)
    if shown:
        print(tables.text(where, [found[name] for name in sorted(found)]))


if __name__ == "__main__":
    main()
