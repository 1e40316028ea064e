"""Draw an example: the rule beside its limit, paths, phases, and damping over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import sympy as sp

from optode.language.symbols import TIME
from optode.language.text import to_text
from optode.picture.canvas import COLOURS, style
from optode.picture.example import Example, Path, forgetting_rates
from optode.trial.numerics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

END = 6.0
"""The time up to which paths go."""
POINTS = 121
STEPS = (12, 24, 48)
"""How many steps the rule takes up to the end."""
STARTS = (1.0, 0.6, 0.3)
"""Starts of the paths in a portrait, as multiples of the first."""
_LONGEST = 32

Draw: TypeAlias = "Callable[[Axes, Example, list[Path]], None]"


def figure_of(example: Example, title: str, kinds: tuple[str, ...] = ()) -> Figure:
    """Return a figure with the panels of the named kinds, or of all that there are."""
    from optode.picture.figure import Picture

    chosen = [kind for kind in kinds or PANELS if kind in panels_of(example)]
    paths = [example.scaled(factor).path(END, POINTS) for factor in STARTS]
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    with style():
        figure = Picture(figsize=(4.2 * columns, 3.4 * rows), layout="constrained", dpi=160)
        figure.suptitle(title)
        for k, kind in enumerate(chosen):
            PANELS[kind](figure.add_subplot(rows, columns, k + 1), example, paths)
    return figure


def panels_of(example: Example) -> tuple[str, ...]:
    """Return the kinds of panels that can be drawn of an example."""
    left_out = set()
    if example.trial is None:
        left_out.add("steps")
    if not forgetting_rates(example.limit):
        left_out.add("damping")
    return tuple(kind for kind in PANELS if kind not in left_out)


def _steps(axes: Axes, example: Example, paths: list[Path]) -> None:
    """Draw the first coordinate of the rule at several steps, and of the ODE."""
    assert example.trial is not None  # by panels_of
    offset = example.trial.offset(0)
    for steps, colour in zip(STEPS, COLOURS, strict=False):
        step = END / steps
        history = example.trial.iterates(step, steps)
        times = step * (np.arange(steps + 1) + offset)
        label = rf"rule, $\Delta$ = {step:g}"
        axes.plot(times, _first(history), ".", color=colour, markersize=4, label=label)
    path = paths[0]
    followed = path.times <= path.solved
    axes.plot(path.times[followed], _first(path.states[followed]), color="black", label="ODE")
    if not followed.all():
        later = path.times >= path.solved
        label = "rule in fine steps"
        axes.plot(path.times[later], _first(path.states[later]), "k:", label=label)
    _hold(axes, _first(path.states))
    axes.set(title="rule against ODE", xlabel="t", ylabel="$x_1$")
    axes.legend(frameon=False, fontsize=8)


def _plane(axes: Axes, example: Example, paths: list[Path]) -> None:
    """Draw paths of two coordinates of the position over the level lines of the loss."""
    for path, colour in zip(paths, COLOURS, strict=False):
        one, two = _coordinates(path.states)
        axes.plot(one, two, color=colour)
        axes.plot(one[:1], two[:1], "o", color=colour, markersize=4)
    if not example.limit.is_matrix:
        ends = [np.linspace(*limits, 60) for limits in (axes.get_xlim(), axes.get_ylim())]
        points = np.stack(np.meshgrid(*ends), -1).reshape(-1, 2)
        levels = np.array([example.field.loss(point) for point in points]).reshape(60, 60)
        axes.contour(*ends, levels, 12, colors="0.75", linewidths=0.6)
    axes.set(title="paths over the loss", xlabel="$x_1$", ylabel="$x_2$")


def _phase(axes: Axes, example: Example, paths: list[Path]) -> None:
    """Draw the first coordinate of the position against its rate."""
    position = example.limit.equations[:1]
    for path, colour in zip(paths, COLOURS, strict=False):
        rates = example.evaluated(position, path.times, path.states)
        x, slope = _first(path.states), _first(rates)
        axes.plot(x, slope, color=colour)
        axes.plot(x[:1], slope[:1], "o", color=colour, markersize=4)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set(title="phase portrait", xlabel="$x_1$", ylabel="$x_1'$")


def _damping(axes: Axes, example: Example, paths: list[Path]) -> None:
    """Draw the rates at which states forget, along the first path."""
    rates = forgetting_rates(example.limit)
    path = paths[0]
    found = example.evaluated(tuple(rates.values()), path.times, path.states)
    for k, (state, rate) in enumerate(rates.items()):
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(path.times, _first(found, k), color=colour, label=_named(state, rate))
    late = found[path.times > END / 20]
    finite = late[np.isfinite(late)]
    if finite.size:
        low, high = min(0.0, finite.min()), max(finite.max(), 1e-3)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
    axes.set(title="damping: how fast states forget", xlabel=str(TIME), ylabel="$-dz'/dz$")
    axes.legend(frameon=False, fontsize=8)


def _named(state: sp.Symbol, rate: sp.Expr) -> str:
    text = to_text(rate)
    return f"{state}: {text}" if len(text) <= _LONGEST else str(state)


def _first(states: Array, k: int = 0) -> Array:
    """Return the first entry of a state along a path."""
    return states[:, k].reshape(len(states), -1)[:, 0]


def _coordinates(states: Array) -> tuple[Array, Array]:
    entries = states[:, 0].reshape(len(states), -1)
    return entries[:, 0], entries[:, 1]


def _hold(axes: Axes, values: Array) -> None:
    """Keep the view on a path: a rule at long steps may leave it far."""
    low, high = values.min(), values.max()
    margin = 0.35 * max(high - low, 1e-6)
    axes.set_ylim(low - margin, high + margin)


PANELS: dict[str, Draw] = {
    "steps": _steps,
    "plane": _plane,
    "phase": _phase,
    "damping": _damping,
}
"""The kinds of panels, by their names on the command line."""
