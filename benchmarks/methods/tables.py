"""Sum up which methods need the fewest evaluations, on how many models and errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.methods.fewest import AUTO, ERRORS, KINDS
from benchmarks.speed.environment import environment_line
from benchmarks.speed.tables import aligned

Record = Mapping[str, Any]
NEAR = 1.05
"""A method is near the best within this factor."""
MOST_NAMES = 6


@dataclass
class Score:
    """What a method reaches over all models and errors.

    ``wins``: cells in which no other method takes fewer evaluations; ``near``: within 5 % of the
    fewest; ``fast``: within 5 % of the shortest time. ``alone`` has the models on which every other
    method takes over 5 % more, with the number of errors; ``worst`` is the largest ratio to the
    fewest evaluations.
    """

    reached: int = 0
    wins: int = 0
    near: int = 0
    fast: int = 0
    worst: float = 1.0
    by_error: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)


def label(error: float) -> str:
    """Return an error as the keys of records have it."""
    return f"{error:.0e}"


def cells(records: Iterable[Record], kind: str) -> Iterable[tuple[str, str, dict[str, Record]]]:
    """Return model, error and what each method needs, wherever a method reaches the error."""
    for record in records:
        rows = [row for row in record["rows"] if row["kind"] == kind]
        for error in map(label, ERRORS):
            found = {r["method"]: r["reached"][error] for r in rows if error in r["reached"]}
            if found.keys() - {AUTO}:
                yield record["model"], error, found


def scores(records: Iterable[Record], kind: str) -> dict[str, Score]:
    """Return the score of each method, in equal or in fitted steps."""
    found: dict[str, Score] = {}
    for model, error, each in cells(records, kind):
        others = {name: x for name, x in each.items() if name != AUTO}
        best = min(x["nfe"] for x in others.values())
        shortest = min(x["ms"] for x in others.values())
        near = [name for name, x in others.items() if x["nfe"] <= NEAR * best]
        for name, x in each.items():
            score = found.setdefault(name, Score())
            score.reached += 1
            score.wins += x["nfe"] <= best
            score.by_error[error] += x["nfe"] <= best
            score.near += x["nfe"] <= NEAR * best
            score.fast += x["ms"] <= NEAR * shortest
            score.worst = max(score.worst, x["nfe"] / best)
            if near == [name]:
                score.alone[model] += 1
    return found


def score_table(found: Mapping[str, Score], total: int) -> str:
    """Return the scores as a table, most wins first."""
    head = ("method", "reaches", "fewest", "within 5 %", "fastest", "largest ratio")
    lines = [(*head, *map(label, ERRORS))]
    for name, score in sorted(found.items(), key=lambda pair: (-pair[1].wins, pair[0])):
        counts = (score.reached, score.wins, score.near, score.fast)
        wins = (str(score.by_error[label(error)]) for error in ERRORS)
        lines.append((name, *map(str, counts), f"{score.worst:.2f}", *wins))
    return f"{total} pairs of a model and an error\n\n{aligned(lines)}"


def where_alone(found: Mapping[str, Score]) -> str:
    """Return for each method the models on which all others take over 5 % more evaluations."""
    lines = []
    for name, score in sorted(found.items()):
        if name == AUTO:
            continue
        first = [f"{model} ({count})" for model, count in score.alone.most_common(MOST_NAMES)]
        more = len(score.alone) - len(first)
        words = ", ".join(first) + (f" and {more} more" if more else "")
        lines.append(f"{name}: {words or 'nowhere'}")
    return "\n".join(lines)


def dominated(records: Sequence[Record]) -> list[str]:
    """Return the methods that need over 5 % more than the fewest everywhere, whatever the steps."""
    of_kinds = [scores(records, kind) for kind in KINDS]
    names = {name for found in of_kinds for name in found} - {AUTO}
    return sorted(n for n in names if not any(f[n].near for f in of_kinds if n in f))


def text(environment: Record, records: Sequence[Record]) -> str:
    """Return all tables of a document."""
    left_out = [f"left out: {r['model']}: {r['left_out']}" for r in records if "left_out" in r]
    parts = [environment_line(environment), f"{len(records) - len(left_out)} models"]
    for kind, words in KINDS.items():
        found = scores(records, kind)
        parts += [words, score_table(found, sum(1 for _ in cells(records, kind)))]
        parts += ["alone with so few evaluations on", where_alone(found)]
    parts.append("never within 5 % of the fewest: " + (", ".join(dominated(records)) or "none"))
    parts += ["\n".join(left_out)] if left_out else []
    return "\n\n".join(parts) + "\n"


def document_text(document: Record) -> str:
    """Return the text that goes with a JSON document."""
    return text(document["environment"], document["models"])


def model_table(record: Record) -> str:
    """Return what each error costs each method on one model: evaluations, and milliseconds."""
    if "left_out" in record:
        return f"{record['model']}: left out: {record['left_out']}"
    lines = [(record["model"], "steps", *map(label, ERRORS))]
    for row in record["rows"]:
        each = (row["reached"].get(label(error)) for error in ERRORS)
        shown = ("-" if x is None else f"{x['nfe']} ({x['ms']:.1f})" for x in each)
        lines.append((row["method"], row["kind"], *shown))
    return aligned(lines)
