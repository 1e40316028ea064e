"""Find what is compared: classes of neural ODEs, each with a field of as many parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from optode.codegen.in_memory import class_from_text
from optode.runtime import FeatureNode
from optode.study.task import Sizes, Task

NEAR = 0.01
"""Numbers of parameters are equal to within this share, where the task's sizes allow it."""

_WIDER, _MORE = 1.5, 5
"""Widths are sought up to so many times the task's, and a few more."""


@dataclass(frozen=True)
class Entrant:
    """A class of neural ODEs by the text of its module, so that any process can make it.

    ``name`` is that of the spec, and ``hash`` that of the text. One that is ``augmented`` has zeros
    beside h where another model has a velocity.
    """

    name: str
    class_name: str
    text: str
    augmented: bool = False

    def features(self, task: Task) -> int:
        """Return the number of features of its field on a task."""
        return (1 + self.augmented) * task.features

    @property
    def hash(self) -> str:
        """The SHA-256 of the module's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def made(self) -> type[Any]:
        """Return the class."""
        made = class_from_text(self.text, self.name, self.class_name)
        return type(self.class_name, (Augmented, made), {}) if self.augmented else made


class _Pair(NamedTuple):
    h: Tensor
    a: Tensor


class Augmented:
    """A model of one state that is integrated as two: h, and as many features that begin at zero.

    What stands around it sees h alone, as it does of a model with a velocity, and so the sizes of
    the states and all that is around them can be equal (ANODE: Dupont, Doucet and Teh 2019,
    arXiv:1904.01681).
    """

    def initial_states(self, position: Tensor, *_: Any) -> _Pair:
        """Return h and the zeros, both of shape (batch, features, ...)."""
        return _Pair(position, torch.zeros_like(position))

    def integrate(self, start: Tensor | _Pair, times: Any = None, inputs: Any = None) -> Any:
        """Return the solution from h, or from both states."""
        pair = self.initial_states(start) if isinstance(start, Tensor) else start
        whole: Any = super()
        solution = whole.integrate((torch.cat([*pair], 1),), times, inputs)
        return solution._replace(states=_Pair(*solution.states[0].chunk(2, 2)))

    def vector_field(self, t: Tensor, states: tuple[Tensor, ...], inputs: Any = None) -> Any:
        """Return the rates of both states, or of the one that a solve has."""
        whole: Any = super()
        (rate,) = whole.vector_field(t, (torch.cat([*states], 1),), inputs)
        return _Pair(*rate.chunk(2, 1)) if len(states) == 2 else (rate,)


_AROUND = 1_000_003
"""Added to the seed for what stands around an ODE."""


class _Probe(nn.Module):
    """A field that notes how many states it is called with."""

    arguments = 1

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        self.arguments = len(states)
        return torch.zeros_like(states[0])


def arguments_of(entrant: Entrant, task: Task) -> int:
    """Return how many states the field of an entrant is called with."""
    probe, features = _Probe(), entrant.features(task)
    node = node_of(entrant, probe, task)
    states = (torch.ones(2, features),) * len(node.state_names)
    node.vector_field(torch.tensor(task.span[0] + 0.5), states)
    return probe.arguments


def network_of(entrant: Entrant, task: Task, sizes: Sizes, seed: int = 0, **settings: Any) -> Any:
    """Return the network of an entrant on a task, drawn from a seed.

    What stands around the ODE is drawn for itself, so that it is equal for all fields.
    """
    features = entrant.features(task)
    arguments = arguments_of(entrant, task)
    torch.manual_seed(seed)
    field = task.field(features, sizes, arguments)
    node = node_of(entrant, field, task, **settings)
    torch.manual_seed(seed + _AROUND)
    return task.around(node, task.features)


def node_of(entrant: Entrant, field: nn.Module, task: Task, **settings: Any) -> Any:
    """Return a node of an entrant on the span of a task.

    It begins so much later as the class's own span begins after 0, and is as long. Raises ValueError
    where the class needs more than a field.
    """
    made, (start, end) = entrant.made(), task.span
    own = signature(made).parameters.get("span")
    later = own.default[0] if own is not None else 0.0
    if issubclass(made, FeatureNode):
        settings["features"] = entrant.features(task)
    if made.operator_names:
        names = ", ".join(made.operator_names)
        raise ValueError(f"{made.__name__} needs {names} beside the field: a comparison has none")
    try:
        return made(field, (start + later, end + later), **settings)
    except TypeError as error:
        raise ValueError(f"{made.__name__} needs more than a field: {error}") from None


def count(network: nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(p.numel() for p in network.parameters())


def matched(counted: Callable[[Sizes], int], sizes: Sizes, wanted: int) -> Sizes:
    """Return the hidden sizes nearest to those given with which a network has nearly as many
    parameters, so that fields are alike where models differ in a few numbers; else the best.
    """

    def off(found: Sizes) -> int:
        return abs(counted(found) - wanted)

    def away(found: Sizes) -> int:
        return sum((a - b) ** 2 for a, b in zip(found, sizes, strict=True))

    every = sorted(product(*(range(1, int(n * _WIDER) + _MORE) for n in sizes)), key=away)
    near = (found for found in every if off(found) <= NEAR * wanted)
    return next(near, None) or min(every, key=off)
