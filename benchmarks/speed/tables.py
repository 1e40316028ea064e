"""Tables of entries, as text and as what JSON holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.speed.measure import fastest, ratio
from benchmarks.speed.qualification import Entry, Refused

OURS = "optode"
KINDS = {"training": "training step", "forward": "forward only"}


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first is flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = []
    for line in lines:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        rows.append("  ".join((first, *others)).rstrip())
    return "\n".join(rows)


def entry_table(entries: Iterable[Entry], kind: str) -> str:
    """Every entry, fastest first."""
    lines = [
        (
            "contender",
            "setting",
            "ms",
            "quartiles",
            "over floor",
            "NFE",
            "error",
            "MiB",
            "compile s",
        )
    ]
    for entry in sorted(entries, key=lambda entry: np.median(getattr(entry, kind))):
        row = numbers(entry, kind)
        low, high = (1e3 * x for x in row["quartiles"])
        lines.append(
            (
                entry.contender.name,
                str(entry.setting),
                f"{1e3 * row['seconds']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{row['over_floor']:.2f}",
                f"{entry.work.forward} / {entry.work.backward}",
                f"{entry.error:.1e}",
                "-" if entry.peak_bytes is None else f"{entry.peak_bytes / 2**20:.2f}",
                "-" if entry.compile_seconds is None else f"{entry.compile_seconds:.1f}",
            )
        )
    return aligned(lines)


def numbers(entry: Entry, kind: str) -> dict[str, Any]:
    """Median and quartiles (seconds), and the median ratio to the floor of the same round."""
    times, floors = getattr(entry, kind), getattr(entry, f"{kind}_floor")
    low, middle, high = (float(x) for x in np.quantile(times, (0.25, 0.5, 0.75)))
    return {"seconds": middle, "quartiles": (low, high), "over_floor": ratio(times, floors)}


def ratios(entries: Sequence[Entry], kind: str) -> dict[str, dict[str, float]]:
    """Of each of our peers how many times faster than each other peer, both at their fastest."""
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


def ratio_table(rows: dict[str, dict[str, float]]) -> str:
    """How many times faster than the peers, a row for each title."""
    peers = list(dict.fromkeys(peer for row in rows.values() for peer in row))
    lines = [("times faster than", *peers)]
    for title, row in rows.items():
        lines.append((title, *(f"{row[peer]:.2f}" if peer in row else "-" for peer in peers)))
    return aligned(lines)


def refused_lines(refused: Iterable[Refused]) -> str:
    return "\n".join(f"not measured: {each.contender.name}: {each.reason}" for each in refused)


def document(entries: Iterable[Entry], refused: Iterable[Refused]) -> dict[str, Any]:
    """Entries and those left out, for JSON."""
    return {
        "entries": [
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
            for entry in entries
        ],
        "refused": [{"contender": each.contender.name, "reason": each.reason} for each in refused],
    }
