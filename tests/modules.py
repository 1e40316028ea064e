"""The committed modules under test: their classes, states in their domains, gradients by name."""

from __future__ import annotations

import importlib
import math
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import torch
from fields import TanhField, given_to
from torch import Tensor, nn

import optode

FOLDER = Path(__file__).parents[1] / "generated"
derive = cache(optode.derive)
_TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
MATRICES = sorted(name for name, text in _TEXTS.items() if "(MatrixNode" in text)
"""Those whose states have rows and columns: see test_matrix_modules.py."""
POSITIVE = ("v", "u", "v_max", "theta")  # averages of squares, largest gradients, a counter


def module_class(name: str) -> type[nn.Module]:
    """The model's class: the first one of its module that is a network."""
    module = importlib.import_module(f"generated.{name}")
    classes = (v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module))
    return next(c for c in classes if c.__module__ == module.__name__)


def is_of_velocity(node: nn.Module) -> bool:
    """Whether f takes x and v: the second-order neural ODE, whose v has any sign."""
    return node.state_names == ("x", "v")


def states_of(node: nn.Module, shape: tuple[int, ...], scale: float = 1.0) -> tuple[Tensor, ...]:
    """Random states: those of any sign scale times as large, the positive ones 1/scale times."""
    positive = () if is_of_velocity(node) else POSITIVE

    def draw(name: str) -> Tensor:
        if name in positive:
            return (0.2 + torch.rand(shape)) / scale
        return scale * torch.randn(shape)

    return tuple(map(draw, node.state_names))


def shuffle_parameters(node: nn.Module) -> None:
    """Learned parameters of the equations away from where they start, each with its own value."""
    with torch.no_grad():
        for p in node.parameters(recurse=False):
            p.uniform_(-2, 2)


def build(name, seed, field=TanhField, **settings):
    """The model on a network of its own, learned parameters away from where they start."""
    torch.default_generator.manual_seed(seed)
    made = module_class(name)
    arguments = 2 if name == "second_order" else 1
    node = made(field(arguments=arguments), **given_to(made), **settings)
    shuffle_parameters(node)
    return node.double()


def values_of(name, node):
    """Each hyper-parameter: a constant of the spec, or what the learned tensor is turned into."""
    transforms = {"none": lambda u: u, "sigmoid": torch.sigmoid, "softplus": torch.nn.Softplus()}
    values = SimpleNamespace(**{name: getattr(node, name) for name in node.operator_names})
    for p in derive(name).model.parameters:
        known = getattr(node, f"raw_{p.symbol}") if p.is_learned else torch.tensor(p.value)
        setattr(values, str(p.symbol), transforms[p.transform](known))
    return values


def assert_equal(found, expected, tolerance=1e-12):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance / 100)


def loss_of(trajectories: tuple[Tensor, ...]) -> Tensor:
    """Of all states at all times, each element with a weight of its own."""
    weights = [torch.linspace(0.5, 1.5, z.numel()).view(z.shape) for z in trajectories]
    return sum((w * torch.sin(z)).sum() for w, z in zip(weights, trajectories, strict=True))


def gradients(node, states, times=None, inputs=None, integrate=None):
    """Of that loss by the states at the start and every parameter, by name.

    ``integrate(states, times, inputs)`` gives the trajectories; by default it is the module's.
    """
    integrate = integrate or (lambda *given: node.integrate(*given).states)
    start = {n: z.detach().requires_grad_() for n, z in zip(node.state_names, states, strict=True)}
    known = start | dict(node.named_parameters())
    loss = loss_of(integrate(tuple(start.values()), times, inputs))
    found = torch.autograd.grad(loss, tuple(known.values()), materialize_grads=True)
    return dict(zip(known, found, strict=True))


def distances(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """The norm of each difference, of what is not zero relative to its norm; of a nan infinite.

    A nan would get past ``max(distances(...).values()) < tolerance`` unless it came first.
    """
    assert found.keys() == expected.keys()
    sizes = {name: expected[name].norm() or 1.0 for name in expected}
    ratios = {name: (found[name] - expected[name]).norm() / sizes[name] for name in expected}
    return {name: ratio.nan_to_num(math.inf, math.inf).item() for name, ratio in ratios.items()}
