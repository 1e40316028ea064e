"""State a rule or an ODE and its model in Python, as SymPy objects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from optode.limit.limit import ContinuousLimit
from optode.model.model import Architecture
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class Formulation:
    """An update rule, or an ODE from ``given_ode``, and the architecture made of its limit.

    It goes wherever a spec goes. Without an architecture the equations can be derived, and no
    module made. Without a title the name stands for it.
    """

    rule: UpdateRule | ContinuousLimit
    architecture: Architecture | None = None
    title: str = ""
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.rule.name)

    @property
    def is_ode(self) -> bool:
        """Whether an ODE is given instead of an update rule."""
        return isinstance(self.rule, ContinuousLimit)

    @property
    def has_model(self) -> bool:
        """Whether a module can be made of it."""
        return self.architecture is not None

    @property
    def origin(self) -> str:
        """What the header of a module names as its source."""
        return f"{self.rule.name} (Python)"

    @property
    def sha256(self) -> str:
        """The digest of the whole formulation."""
        return hashlib.sha256(repr(self).encode()).hexdigest()
