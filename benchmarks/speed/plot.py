"""Draw the error against the time of every contender, and how the cost grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.growth import Curve

# A colour for each peer; markers tell its contenders apart.
MARKERS = "osv^Dx+*<>"

Panel = Sequence[Mapping[str, Any]]
"""The points of each contender of a problem: name, peer, errors and seconds."""


def work_precision(panels: Mapping[str, Panel], path: Path) -> None:
    """Draw gradient errors against times of a training step, one panel for each title."""
    figure, axes = _panels(len(panels), 7.0)
    kinds = list(dict.fromkeys(each["peer"] for panel in panels.values() for each in panel))
    for axis, (title, panel) in zip(axes, panels.items(), strict=False):
        seen: Counter[str] = Counter()
        for each in panel:
            peer = each["peer"]
            axis.loglog(
                [1e3 * x for x in each["seconds"]],
                each["errors"],
                color=f"C{kinds.index(peer)}",
                marker=MARKERS[seen[peer] % len(MARKERS)],
                markersize=4,
                linewidth=0.8,
                label=each["contender"],
            )
            seen[peer] += 1
        axis.set(title=title, xlabel="training step (ms)", ylabel="error of the gradient")
        axis.set_ylim(top=2.0)
        axis.grid(True, linewidth=0.3, alpha=0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=6, loc="outside right upper")
    figure.savefig(path)


def growth(curves: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Draw times of a training step with their exponents, one panel for each axis."""
    figure, axes = _panels(len(curves), 4.5)
    for axis, (name, each) in zip(axes, curves.items(), strict=False):
        for curve, marker in zip(each, MARKERS, strict=False):
            label = f"{curve.contender} ({curve.exponent:.2f})"
            axis.loglog(
                curve.values,
                1e3 * np.array(curve.seconds),
                marker=marker,
                markersize=4,
                linewidth=1,
                label=label,
            )
        axis.set(xlabel=name, ylabel="training step (ms)")
        axis.grid(True, linewidth=0.3, alpha=0.6)
        axis.legend(frameon=False, fontsize=7)
    figure.savefig(path)


def _panels(count: int, width: float) -> tuple[Any, list[Any]]:
    """Return a figure of so many panels (inches wide each), two in a row."""
    from matplotlib.figure import Figure

    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, 4.0 * rows), layout="constrained", dpi=150)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]
