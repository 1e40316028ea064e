"""A figure of matplotlib that notebooks show."""

from __future__ import annotations

from matplotlib.figure import Figure

from optode.picture.canvas import encoded

_DPI = 80


class Picture(Figure):
    """A figure that a notebook shows as the last value of a cell, also without pyplot."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png", _DPI)
