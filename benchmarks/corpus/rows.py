"""Say which rule is which class of a package: a row for each class and choice of its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optode.spec.shipped import find_spec

RULES = Path(__file__).with_name("rules")
START, POSITIVE_START = (0.8, -0.9), (0.8, 0.6)
MATRIX_START = (0.8, -0.9, 0.5, 0.7)


@dataclass(frozen=True)
class Row:
    """A class of a package, its options, and the spec that has the same rule.

    In ``options``, the keyword arguments of the constructor, a text that names a hyper-parameter of
    the rule stands for its number. ``values`` gives numbers of hyper-parameters; the others have
    generic ones, and iterates are compared at the step size 0.05.

    Attributes:
        around: the class and the options of the optimizer that a wrapper is put around
        group: more entries of the group of parameters
        shape: the shape of the class's parameter; a rule for matrices has (2, 2)
        skipped: how many steps of the class, in which the position stays, come before the rule's
        sparse: whether the class gets its gradients as sparse tensors
        summed: whether gradients are added to what the class has left of the last
        recalled: whether the class gets a function that evaluates the gradient anew
        start: where the position starts
        tolerance: how far the iterates may be apart
        refused: the code of a refusal that is right, "" where a limit is expected
        remark: what the tables say of the row
    """

    package: str
    optimizer: str
    spec: str
    options: Mapping[str, Any]
    values: Mapping[str, float] = field(default_factory=dict)
    around: tuple[str, Mapping[str, Any]] | None = None
    group: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (2,)
    skipped: int = 0
    sparse: bool = False
    summed: bool = False
    recalled: bool = False
    start: tuple[float, ...] = START
    tolerance: float = 1e-12
    refused: str = ""
    remark: str = ""

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
    if isinstance(option, Mapping):
        return {key: with_numbers(each, values) for key, each in option.items()}
    return option
