"""Measure the generation of modules from the command line; see --help."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

from benchmarks.generation.report import PACKAGES, record, report, words_of
from benchmarks.generation.running import measured
from benchmarks.records import write_document
from benchmarks.speed.environment import environment, pin

ONE = ("generate", "adam.yaml")
ALL = ("generate", "--all")
GOALS = {ONE: 2.0, ALL: 60.0}
"""The longest wall times that are accepted, in seconds on one core."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=11, help="of one spec")
    parser.add_argument("--runs-all", type=int, default=3, metavar="RUNS", help="of all specs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    asked = parser.parse_args()
    pin(1)
    where = environment("cpu") | {name: version(name) for name in PACKAGES}
    texts = [words_of(where)]
    print(texts[0], flush=True)
    records = []
    for arguments, runs in ((ONE, asked.runs), (ALL, asked.runs_all)):
        records.append(record(measured(arguments, runs), GOALS[arguments]))
        texts.append(report(records[-1]))
        print(f"\n{texts[-1]}", flush=True)
    if asked.text:
        asked.text.write_text("\n\n".join(texts) + "\n")
    if asked.json:
        write_document(asked.json, {"environment": where, "commands": records})


if __name__ == "__main__":
    main()
