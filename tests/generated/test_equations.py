"""Every committed module against the equations it stands for, by two ways around the printer.

Its vector field against the one typed by hand from the literature, and what it prints, vector field
and adjoint, against the derived equations in numbers of 30 digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from corpus_equations import EQUATIONS as CORPUS
from equations import ADJOINTS, EQUATIONS
from exact import TRANSFORMS, Evaluation, ExactField, calls_of, number, numbers
from fields import ImageField, TanhField
from loss_catalogue import LIMITS as WITH_LOSS
from matrix_catalogue import FIELDS
from modules import (
    FOLDER,
    assert_equal,
    build,
    derive,
    distances,
    gradients,
    is_of_velocity,
    states_of,
    values_of,
)
from shipped import THOROUGH_MODULES as NAMES

pytestmark = pytest.mark.usefixtures("float64")
every_model = pytest.mark.parametrize("name", NAMES)


class Draw(NamedTuple):
    """A time, a seed of network, parameters and states, and how large and how small these are."""

    time: float
    seed: int
    scale: float


# with the last seed some velocities are between 5 and 6, just beyond the bounds of hardtanh
DRAWS = (Draw(0.4, 1, 1.0), Draw(1.3, 2, 2.0), Draw(2.5, 4, 6.0))
every_draw = pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: f"t={draw.time}")


# Against the literature


def test_every_module_has_a_typed_equation():
    typed = EQUATIONS.keys() | CORPUS.keys() | FIELDS.keys()
    assert {path.stem for path in FOLDER.glob("*.py")} == typed


def compare_with_the_published(name, draw, field, shape):
    node, t = build(name, draw.seed, field), torch.tensor(draw.time)
    states = states_of(node, shape, draw.scale)
    expected = EQUATIONS[name](t, states, node.field, values_of(name, node))
    assert_equal(node.vector_field(t, states), expected)


@every_draw
@every_model
def test_vector_field_is_the_published_one(name, draw):
    compare_with_the_published(name, draw, TanhField, (6, 4))


@every_model
def test_vector_field_of_images_is_the_published_one(name):
    compare_with_the_published(name, DRAWS[1], ImageField, (2, 3, 5, 5))


@every_draw
@pytest.mark.parametrize("name", ADJOINTS)
def test_adjoint_field_is_the_published_one(name, draw):
    node, t = build(name, draw.seed), torch.tensor(draw.time)
    states = states_of(node, (6, 4), draw.scale)
    costates = tuple(torch.randn_like(z) for z in states)
    arguments = states if is_of_velocity(node) else states[:1]

    def transposed(c):
        return node.field.transposed(t, arguments, c).split(4, -1)

    expected = ADJOINTS[name](t, states, costates, node.field, transposed, values_of(name, node))
    assert_equal(node.adjoint_field(t, states, costates), expected)


def midpoint(name, node, steps):
    """Steps of the midpoint rule with the typed equation, for gradients to go back through."""
    p, (start, end) = values_of(name, node), node.span

    def integrate(states, times, inputs):
        h, path = (end - start) / steps, [states]
        for t in torch.linspace(start, end, steps + 1)[:-1]:
            half = EQUATIONS[name](t, states, node.field, p)
            half = tuple(z + h / 2 * r for z, r in zip(states, half, strict=True))
            rates = EQUATIONS[name](t + h / 2, half, node.field, p)
            states = tuple(z + h * r for z, r in zip(states, rates, strict=True))
            path.append(states)
        return tuple(torch.stack(ends) for ends in zip(path[0], path[-1], strict=True))

    return integrate


@every_model
def test_gradients_are_those_of_the_published_equation(name):
    """By the states, the hyper-parameters and the network, on steps of one size."""
    node = build(name, 4, span=(1.0, 1.5), method="midpoint", options={"steps": 4})
    states = states_of(node, (3, 4), 3.0)
    expected = gradients(node, states, integrate=midpoint(name, node, 4))
    assert max(distances(gradients(node, states), expected).values()) < 1e-12


# Against the derived equations


def exactly(name, node, time, known):
    """What evaluates the model's expressions, given the values of states and costates."""
    model, values = derive(name).model, {"t": number(time), **known}
    values |= {name: number(getattr(node, name).scale) for name in node.operator_names}
    for p in model.parameters:
        raw = getattr(node, f"raw_{p.symbol}") if p.is_learned else p.value
        values[str(p.symbol)] = TRANSFORMS[p.transform](number(raw))
    return Evaluation(model.equations, values, ExactField(node.field))


def floats(array, shape):
    """Rounded to float64; what is the same for all elements is repeated."""
    array = np.broadcast_to(np.array(array, dtype=object), shape)
    return torch.tensor(array.astype(float))


def case(name, draw):
    """A module, its states and costates there, and what evaluates its derived equations."""
    node, adjoint = build(name, draw.seed), derive(name).adjoint
    states = states_of(node, (3, 4), draw.scale)
    costates = tuple(torch.randn_like(z) for z in states)
    names = map(str, (*adjoint.model.states, *adjoint.costates))
    known = dict(zip(names, map(numbers, (*states, *costates)), strict=True))
    return node, states, costates, exactly(name, node, draw.time, known)


@every_draw
@every_model
def test_module_is_the_derived_system(name, draw):
    """The vector field, the adjoint and the gradient by hyper-parameters, which is summed."""
    node, states, costates, value = case(name, draw)
    t, adjoint = torch.tensor(draw.time), derive(name).adjoint
    rates = [
        floats(value(e), z.shape) for e, z in zip(adjoint.model.equations, states, strict=True)
    ]
    backward = [floats(value(e), z.shape) for e, z in zip(adjoint.equations, states, strict=True)]
    found, pull = node.linearize(t, states)
    found_backward, of_parameters = pull(costates)
    assert_equal(node.vector_field(t, states), rates)
    assert_equal(node.adjoint_field(t, states, costates), backward)
    assert_equal((*found, *found_backward), (*rates, *backward))
    expected = [floats(value(e), states[0].shape).sum() for _, e in adjoint.quadratures]
    assert_equal(of_parameters, expected)


def kinks_of(equation):
    """What is zero where it has a kink or a jump; the network's own are not counted."""
    found = calls_of(equation, "relu", "step", "reaches", "hardtanh", "Abs", "sign")
    return sorted({c.args[0] - bound for c in found for bound in c.args[1:] or (0,)}, key=str)


def test_both_sides_of_every_kink_are_tested():
    """Clipped and not, on the floor and above it: the draws have elements in every combination."""
    found = {(name, e) for name in NAMES for e in derive(name).model.equations if kinks_of(e)}
    assert {"adamax", "amsgrad", "clipped_descent"} < {name for name, _ in found}
    assert {*WITH_LOSS} - {"polyak_step"} < {name for name, _ in found}
    for name, equation in found:
        sides, kinks = set(), kinks_of(equation)
        for draw in DRAWS:
            value = case(name, draw)[-1]
            sides |= set(zip(*(np.ravel(value(kink) > 0) for kink in kinks), strict=True))
        possible = 3 if "hardtanh" in str(equation) else 2 ** len(kinks)
        assert len(sides) == possible, (name, equation, sides)
