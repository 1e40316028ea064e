"""List the models that are compared: those of the papers, controls, and rules no paper has tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from optode.study.compare import entrants_of
from optode.study.entrants import Entrant

HERE = Path(__file__).parent
PAPERS, CONTROL, UNTRIED, RELEASED = "of the papers", "control", "untried", "as released"


class Model(NamedTuple):
    """A spec, what it stands for, and whether zeros are beside h where others have a velocity.

    ``brief`` says that its equations are of one unit of time: later they come to a halt.
    """

    spec: str
    kind: str = PAPERS
    augmented: bool = False
    brief: bool = False


MODELS = {
    "NODE": Model("gradient_descent"),
    "ANODE": Model("gradient_descent", augmented=True),
    "SONODE": Model("second_order"),
    "HBNODE": Model("heavy_ball"),
    "GHBNODE": Model("generalized_heavy_ball"),
    "NesterovNODE": Model("nesterov"),
    "NesterovNODE, released": Model("nesterov_released", brief=True),
    "AdamNODE": Model("adam"),
    "GuardedAdamNODE": Model("adam_guarded"),
    "HBNODE, damping 0.95": Model("heavy_ball_095", CONTROL),
    "AdamNODE, v frozen": Model("adam_frozen", CONTROL),
    "GuardedAdamNODE, rates 0.95": Model("adam_guarded_095", CONTROL),
    "BoundedSpeedNODE": Model("relativistic", UNTRIED),
    "TripleMomentumNODE": Model("triple_momentum", UNTRIED),
    "HBNODE, pulled back": Model("heavy_ball_released", RELEASED),
    "HBNODE, pull learned": Model("heavy_ball_learned_pull", RELEASED),
}
"""The models by the names of the report. The first that is asked for has the task's sizes."""

COMPARED = [name for name, model in MODELS.items() if model.kind != RELEASED]
"""The models of a study that is asked for no others."""


def entrants(names: list[str]) -> list[Entrant]:
    """Return models to train. An augmented one has a name of its own."""
    found = []
    for name in names:
        model = MODELS[name]
        own = HERE / "specs" / f"{model.spec}.yaml"
        (entrant,) = entrants_of([str(own) if own.exists() else model.spec])
        if model.augmented:
            entrant = replace(entrant, name=f"{entrant.name}_augmented", augmented=True)
        found.append(entrant)
    return found
