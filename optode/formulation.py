"""State a rule and its model in Python, as SymPy objects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from optode.model.model import Architecture
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class Formulation:
    """An update rule and the architecture made of its limit; goes wherever a spec goes."""

    rule: UpdateRule
    architecture: Architecture
    title: str = ""
    references: tuple[str, ...] = ()

    @property
    def is_ode(self) -> bool:
        """A formulation always starts from a rule."""
        return False

    @property
    def has_model(self) -> bool:
        """A formulation always has an architecture."""
        return True

    @property
    def origin(self) -> str:
        """What the header of a module names as its source."""
        return f"{self.rule.name} (Python)"

    @property
    def sha256(self) -> str:
        """The digest of the whole formulation."""
        return hashlib.sha256(repr(self).encode()).hexdigest()
