"""Plot the errors of order checks against the step, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from optode.picture.canvas import COLOURS, check_picture, style, write_picture
from optode.verification.orders.orders import Order, OrderCheck

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_orders(checks: Iterable[OrderCheck], path: str | Path) -> None:
    """Draw the measured errors to a file (PNG, PDF or SVG by its name), with slopes expected.

    Lines through the finest step have the expected slope; the legend says what was observed. Raises
    SpecError where the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    write_picture(figure_of(checks), path)


def figure_of(checks: Iterable[OrderCheck]) -> Figure:
    """Return a figure of the measured errors over the steps."""
    from optode.picture.figure import Picture

    shown = list(checks)
    with style():
        figure = Picture(figsize=(5.6, 3.3 + 0.5 * len(shown)), layout="constrained", dpi=160)
        axes = figure.add_subplot()
        styles = cycle(zip(COLOURS, _MARKERS, strict=True))
        for label, order in _measured(shown):
            colour, marker = next(styles)
            slope = float(order.expected.order)
            guide = [order.errors[-1] * (h / order.steps[-1]) ** slope for h in order.steps]
            axes.loglog(order.steps, guide, color=colour, linewidth=0.8, linestyle=(0, (5, 4)))
            text = f"{label}: {order.observed:.2f} (expected {order.expected.order})"
            axes.loglog(order.steps, order.errors, marker, color=colour, markersize=5, label=text)
        axes.set_xlabel("continuous step $\\Delta$")
        axes.set_ylabel("error of the states at the final time")
        axes.set_title(", ".join(dict.fromkeys(c.name for c in shown)))
        axes.grid(True, which="major", linewidth=0.4, alpha=0.6)
        figure.legend(loc="outside lower center", frameon=False, title="observed order")
    return figure


def _measured(checks: list[OrderCheck]) -> list[tuple[str, Order]]:
    """Return the orders that have errors, each with its label."""
    several = len(checks) > 1
    found = []
    for check in checks:
        for label, order in (("limit", check.limit), ("next order", check.next_order)):
            if order is not None and order.errors:
                found.append((f"{label}, {check.regime}" if several else label, order))
    return found
