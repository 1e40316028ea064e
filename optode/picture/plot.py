"""Draw a spec into a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optode.compiler import derive
from optode.derivation import AnySpec
from optode.diagnostics import Diagnostic, SpecError
from optode.picture.canvas import check_installed, check_picture, write_picture
from optode.picture.example import example_of
from optode.picture.panels import PANELS, figure_of, panels_of
from optode.trial.starts import NoSolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(spec: AnySpec, path: str | Path | None = None, panels: Sequence[str] = ()) -> Figure:
    """Draw a spec on a small example, and return the figure of matplotlib.

    ``panels`` chooses among "steps" (the rule at three step sizes beside its ODE), "plane" (paths
    over the loss), "phase" (the position against its rate) and "damping" (the rate at which each
    other state forgets, over time); without it all are drawn that the spec has. With ``path`` the
    figure is written there, in the format of the name: PNG, SVG or PDF. Raises SpecError for a spec
    in error, one without a finite path or a panel that it does not have (E608), a file that cannot
    be written (E603), and where matplotlib is missing (E605); ValueError for an unknown panel.
    """
    for name in panels:
        if name not in PANELS:
            raise ValueError(f"panels: one of {', '.join(PANELS)}, not {name!r}")
    if path is None:
        check_installed()
    else:
        check_picture(Path(path))
    derivation = derive(spec)
    example = example_of(derivation)
    missing = [_REASONS[name] for name in panels if name not in panels_of(example)]
    if missing:
        words = [f"{derivation.name} has no panel {why}" for why in missing]
        raise SpecError([Diagnostic("E608", word, derivation.place) for word in words])
    try:
        figure = figure_of(example, derivation.spec.title, tuple(panels))
    except NoSolution as error:
        message = f"{derivation.name} cannot be drawn: {error}"
        raise SpecError([Diagnostic("E608", message, derivation.place)]) from error
    if path is not None:
        write_picture(figure, Path(path))
    return figure


_REASONS = {
    "steps": "`steps`: it states an ODE, there is no rule",
    "damping": "`damping`: no state but the position forgets at a rate of its own",
}
