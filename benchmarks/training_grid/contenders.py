"""grid="auto" in training, and the solves that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

# What brings a numerical library is imported where it is used: once the threads are pinned.
if TYPE_CHECKING:
    from benchmarks.speed.contender import Setting
    from benchmarks.speed.torch_contenders import Optode

METHOD = "auto"
GRADIENTS = ("autograd", "discrete")
FIXED = (
    *(("interpolation5", n) for n in (1, 2, 3, 4, 6, 8)),
    *(("interpolation8", n) for n in (1, 2, 3, 4, 6)),
)


@dataclass(frozen=True)
class Contender:
    """A module's method and gradient, at a setting; kind is auto, adaptive, dopri5 or fixed."""

    kind: str
    gradient: str
    module: Optode
    setting: Setting

    @property
    def name(self) -> str:
        """The name of the module's setting; for a fixed grid with the number of steps."""
        name = self.module.name.removeprefix("optode ")
        return f"{name} {self.setting}" if self.kind == "fixed" else name


def contenders(gradient: str, tolerance: float) -> list[Contender]:
    """grid="auto" and its rivals."""
    from benchmarks.speed.contender import Setting
    from benchmarks.speed.torch_contenders import Optode

    asked = Setting("tolerance", tolerance)
    return [
        Contender("auto", gradient, Optode(gradient, METHOD, grid="auto"), asked),
        Contender("adaptive", gradient, Optode(gradient, METHOD), asked),
        Contender("dopri5", gradient, Optode(gradient, "dopri5"), asked),
        *(
            Contender("fixed", gradient, Optode(gradient, method, steps=True), Setting("steps", n))
            for method, n in FIXED
        ),
    ]
