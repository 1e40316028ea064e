"""Turn measured contenders into records for JSON, and records into tables of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.records import rounded
from benchmarks.speed.measure import fastest, ratio
from benchmarks.speed.qualification import Entry, Refused

OURS = "optode"
KINDS = {"training": "training step", "forward": "forward only"}

Record = dict[str, Any]
"""The numbers of a contender or a problem, as JSON has them."""


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows as text with aligned columns: the first flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = []
    for line in lines:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        rows.append("  ".join((first, *others)).rstrip())
    return "\n".join(rows)


def entry_table(records: Iterable[Record], kind: str) -> str:
    """Return a table with a row for each contender, fastest first; kind is training or forward."""
    head = ("contender", "setting", "ms", "quartiles", "over floor", "over least", "NFE", "error")
    lines = [(*head, "MiB", "compile s")]
    for record in sorted(records, key=lambda record: record[kind]["seconds"]):
        times, work = record[kind], record["work"]
        low, high = (1e3 * x for x in times["quartiles"])
        memory, compiling = record["peak_bytes"], record["compile_seconds"]
        lines.append(
            (
                record["contender"],
                record["setting"],
                f"{1e3 * times['seconds']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{times['over_floor']:.2f}",
                decimals(times.get("over_least")),
                f"{work['forward']} / {work['backward']}",
                f"{record['error']:.1e}",
                decimals(None if memory is None else memory / 2**20),
                decimals(compiling, 1),
            )
        )
    return aligned(lines)


def decimals(x: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals, a dash where there is none."""
    return "-" if x is None else f"{x:.{digits}f}"


def numbers(entry: Entry, kind: str) -> dict[str, Any]:
    """Return the median and quartiles (seconds), and the median ratios to a round's floors."""
    times = getattr(entry, kind)
    low, middle, high = (float(x) for x in np.quantile(times, (0.25, 0.5, 0.75)))
    return {
        "seconds": middle,
        "quartiles": (low, high),
        "over_floor": ratio(times, getattr(entry, f"{kind}_floor")),
        "over_least": ratio(times, getattr(entry, f"{kind}_least")),
    }


def ratios(entries: Sequence[Entry], kind: str) -> dict[str, dict[str, float]]:
    """Return the time of each other library divided by optode's, both at their fastest.

    The keys are "optode" and "optode compiled", then the names of the other libraries.
    """
    best = fastest(entries, kind)
    ours = [peer for peer in best if peer.startswith(OURS)]
    return {
        us: {
            peer: ratio(getattr(best[peer], kind), getattr(best[us], kind))
            for peer in best
            if peer not in ours
        }
        for us in ours
    }


def ratio_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table of times of other libraries divided by optode's, with a row for each title."""
    peers = list(dict.fromkeys(peer for row in rows.values() for peer in row))
    lines = [("times faster than", *peers)]
    for title, row in rows.items():
        lines.append((title, *(f"{row[peer]:.2f}" if peer in row else "-" for peer in peers)))
    return aligned(lines)


def entry_record(entry: Entry) -> Record:
    """Return the numbers of a contender: medians and quartiles in seconds, no single timings."""
    found: Record = rounded(
        {
            "contender": entry.contender.name,
            "peer": entry.contender.peer,
            "setting": str(entry.setting),
            "error": entry.error,
            "work": entry.work._asdict(),
            "peak_bytes": entry.peak_bytes,
            "compile_seconds": entry.compile_seconds,
            **{kind: numbers(entry, kind) for kind in KINDS},
        }
    )
    return found


def problem_record(
    title: str,
    precision: str,
    goal: float,
    entries: Sequence[Entry],
    refused: Iterable[Refused],
    load: Sequence[float | None] = (),
) -> Record:
    """Return all numbers of a problem: its contenders, those left out, and the ratios of times.

    precision is the name of the dtype; goal is the largest error that is allowed; load is the
    machine's before and after the timing.
    """
    return {
        "problem": title,
        "precision": precision,
        "goal": goal,
        "load": [*load],
        "entries": [entry_record(entry) for entry in entries],
        "refused": [{"contender": each.contender.name, "reason": each.reason} for each in refused],
        "times_faster": rounded({kind: ratios(entries, kind) for kind in KINDS}),
    }


def problem_text(problem: Record) -> str:
    """Return the tables of a problem, and below them the contenders that are left out."""
    error = problem.get("error", "error of the gradient")
    goal = f"{error} within {problem['goal']:.3g}"
    loads = " to ".join(decimals(x) for x in problem.get("load", ()))
    load = f", load {loads}" if loads else ""
    parts = [f"{problem['problem']}, {problem['precision']}, {goal}{load}"]
    for kind, words in KINDS.items():
        parts += [words, entry_table(problem["entries"], kind)]
    refused = [f"not measured: {r['contender']}: {r['reason']}" for r in problem["refused"]]
    parts += ["\n".join(refused)] if refused else []
    return "\n\n".join(parts)


def comparison_text(problems: Iterable[Record]) -> str:
    """Return the ratios of times of all problems, one table for each kind."""
    every, parts = [*problems], []
    for kind, words in KINDS.items():
        rows = {
            f"{us}: {problem['problem']}": row
            for problem in every
            for us, row in problem["times_faster"][kind].items()
        }
        parts += [f"fastest of each, {words}, times faster than", ratio_table(rows)]
    return "\n\n".join(parts)
