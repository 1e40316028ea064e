"""Draw the pictures of the pages, into docs/assets: python docs/pictures.py [NAME ...]"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import optode
from optode.limit.choices import FAST, FROZEN
from optode.picture.canvas import COLOURS, style, write_picture
from optode.picture.example import example_of
from optode.picture.panels import figure_of
from optode.verification.orders import plot as orders

ASSETS = Path(__file__).parent / "assets"
USUAL = ((1e-3, 0.9), (0.03, 0.9), (1e-4, 0.99), (1e-2, 0.99))


def scalings() -> Figure:
    """Draw which limit heavy ball is near, for a step size and a momentum."""
    s = np.logspace(-6, 0, 200)
    with style():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for low, high, words, colour, place in (
            (FAST, 1e9, "v is a slave of the gradient: x' = -g(x)/(1 - $\\beta$)", COLOURS[4], 60),
            (FROZEN, FAST, "x'' + $\\gamma$x' + g(x) = 0", COLOURS[2], 30),
            (1e-9, FROZEN, "nothing is forgotten: x'' + g(x) = 0", COLOURS[5], 60),
        ):
            low_line, high_line = (np.clip(rate * np.sqrt(s), 1e-5, 1) for rate in (low, high))
            axes.fill_between(s, low_line, high_line, color=colour, alpha=0.3, linewidth=0)
            middle = 10 ** (np.log10(low_line * high_line)[place] / 2)
            axes.text(s[place], middle, words, ha="center", va="center", fontsize=9)
        axes.plot(s, np.clip(np.sqrt(s), 1e-5, 1), color=COLOURS[2], label="1 - $\\beta$ = √s")
        for step, beta in USUAL:
            axes.plot(step, 1 - beta, "ko", markersize=4)
            axes.annotate(f"s = {step:g}, β = {beta:g}", (step, 1 - beta), xytext=(5, 5),
                          textcoords="offset points", fontsize=8)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="step size s", ylabel="1 - $\\beta$",
                 xlim=(1e-6, 1), ylim=(1e-5, 1))  # fmt: skip
        axes.legend(loc="lower right", frameon=False)
    return figure


def steps(name: str, **numbers: float) -> Figure:
    """Draw a rule at three step sizes beside its ODE, with numbers of its hyper-parameters."""
    derivation = optode.derive(name)
    example = example_of(derivation)
    assert example.trial is not None
    trial = replace(example.trial, given=tuple(numbers.items()))
    example = replace(example, trial=trial, values=trial.values(1.0))
    return figure_of(example, derivation.spec.title, ("steps",))


def convergence() -> Figure:
    """Draw the errors of heavy ball over the step."""
    found: Figure = orders.figure_of(optode.verify("heavy_ball"))
    return found


PICTURES: Mapping[str, Callable[[], Any]] = {
    "heavy_ball_scalings": scalings,
    "heavy_ball_steps": lambda: steps("heavy_ball"),
    "heavy_ball_fixed_steps": lambda: steps("heavy_ball_fixed", beta=0.5),
    "heavy_ball_orders": convergence,
}


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        write_picture(PICTURES[name](), ASSETS / f"{name}.svg")


if __name__ == "__main__":
    main()
