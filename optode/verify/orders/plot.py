"""Plot the errors of order checks against the step, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from itertools import cycle
from pathlib import Path

from optode.codegen.files import file_problem, replace
from optode.diagnostics import Diagnostic, SpecError, quoted_path
from optode.verify.orders.orders import Order, OrderCheck

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def check_picture(path: Path) -> None:
    """Raise SpecError where no picture can be drawn to a file: E603, E605 without matplotlib."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        message = "a plot needs matplotlib, which is not installed: `pip install 'optode[plot]'`"
        raise SpecError([Diagnostic("E605", message)]) from None
    problem = file_problem(path)
    known = FigureCanvasBase.get_supported_filetypes()
    if problem is None and path.suffix[1:].lower() not in known:
        message = f"{quoted_path(path)} is no picture: name it `.png`, `.pdf` or `.svg`"
        problem = Diagnostic("E603", message)
    if problem:
        raise SpecError([problem])


def plot_orders(checks: Iterable[OrderCheck], path: str | Path) -> None:
    """Draw the measured errors to a file (PNG, PDF or SVG by its name), with slopes expected.

    Lines through the finest step have the expected slope; the legend says what was observed. Raises
    SpecError where the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = list(checks)
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "optode"}):
        figure = Figure(figsize=(5.6, 3.3 + 0.5 * len(shown)), layout="constrained", dpi=160)
        axes = figure.add_subplot()
        styles = cycle(zip(_COLOURS, _MARKERS, strict=True))
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
        picture = BytesIO()
        figure.savefig(picture, format=path.suffix[1:].lower())
    replace({path: picture.getvalue()})


def _measured(checks: list[OrderCheck]) -> list[tuple[str, Order]]:
    """Return the orders that have errors, each with its label."""
    several = len(checks) > 1
    found = []
    for check in checks:
        for label, order in (("limit", check.limit), ("next order", check.next_order)):
            if order is not None and order.errors:
                found.append((f"{label}, {check.regime}" if several else label, order))
    return found
