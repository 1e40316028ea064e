"""Say which rule is which class of a package: a row for each class and choice of its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optode.spec.shipped import find_spec

RULES = Path(__file__).with_name("rules")


@dataclass(frozen=True)
class Row:
    """A class of a package, its options, and the spec that has the same rule.

    In ``options``, the keyword arguments of the constructor, a text that names a hyper-parameter of
    the rule stands for its number. ``values`` gives numbers of hyper-parameters; the others have
    generic ones, and iterates are compared at the step size 0.05. With ``sparse`` the class gets
    its gradients as sparse tensors.
    """

    package: str
    optimizer: str
    spec: str
    options: Mapping[str, Any]
    values: Mapping[str, float] = field(default_factory=dict)
    sparse: bool = False

    @property
    def path(self) -> Path:
        """The file of the spec: one of ``rules/``, else one that ships."""
        own = RULES / f"{self.spec}.yaml"
        return own if own.exists() else find_spec(self.spec)

    @property
    def title(self) -> str:
        """The class and the spec, as the tables and the tests name the row."""
        return f"{self.optimizer} {self.spec}"


def with_numbers(option: Any, values: Mapping[str, Any]) -> Any:
    """Return an option with the numbers of the hyper-parameters that it names."""
    if isinstance(option, str):
        return float(values[option]) if option in values else option
    if isinstance(option, tuple):
        return tuple(with_numbers(each, values) for each in option)
    return option
