"""Refuse settings that contradict the equations or one another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from operator import is_
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .aliases import Tensors
from .evaluation.signature import is_timeless
from .methods.catalogue import (
    LATE_STAGES,
    METHODS,
    MULTISTEP,
    TORCHODE,
    solver_of,
)
from .options import FITTING, Options, is_number
from .outside.torchdiffeq import solver_names
from .reductions import largest
from .torch_internals import holds

if TYPE_CHECKING:
    from .node import Node

OBSERVE = (None, "steps", "interpolate")
GRADIENTS = ("discrete", "adjoint", "autograd")
_ON_A_GRID = {"max_steps", "keep", "step_t", "jump_t"}


def settle(node: Node) -> None:
    """Check the settings of a node, if one has been set since they were checked last."""
    given = node.options
    now = [node.field, node.span, node.method, node.rtol, node.atol, node.gradient]
    now += [node.grid, node.compiled, node.observe, node.running, _asks_costates(node), given]
    if isinstance(given, Mapping):
        now += [*given, *given.values()]
    if len(now) != len(node.settled) or not all(map(is_, now, node.settled)):
        check_settings(node)
        node.settled = now


def equal_steps(node: Node) -> bool:
    """Return whether the options ask for steps of equal size."""
    return node.grid is None and Options.of(node.options).sized()


def check_settings(node: Node) -> None:
    """Refuse settings that do not fit the equations or one another: ValueError."""
    if not callable(node.field) or isinstance(node.field, type):
        raise ValueError(f"field must be callable, as f(t, h), got {node.field!r}")
    node.timeless = is_timeless(node.field)
    if not isinstance(node.options, Mapping):
        raise ValueError(f"options must be a dictionary, got {node.options!r}")
    for name, value in (("rtol", node.rtol), ("atol", node.atol)):
        if not (is_number(value) and 0 <= value < math.inf):
            raise ValueError(f"{name} must be a finite number from 0 on, got {value!r}")
    if node.rtol == node.atol == 0:
        raise ValueError("rtol and atol must not both be 0: no step has no error at all")
    _check_span(node)
    _check_switches(node)
    if node.observe not in OBSERVE:
        raise ValueError(f"observe must be in {OBSERVE}, got {node.observe!r}")
    if node.gradient not in GRADIENTS:
        raise ValueError(f"gradient must be in {GRADIENTS}, got {node.gradient!r}")
    if not isinstance(node.method, str):
        raise ValueError(f"method must be the name of a method, got {node.method!r}")
    solver, name = solver_of(node.method)
    _check_method(node, solver, name)
    _check_gradient(node, solver, name)
    _check_options(node, solver)
    _check_grid(node, solver, name)


def _check_switches(node: Node) -> None:
    if node.running is not None and not callable(node.running):
        raise ValueError(f"running must be a function r(t, states, f), got {node.running!r}")
    if not isinstance(node.record, bool):
        raise ValueError(f"record must be True or False, got {node.record!r}")
    if (who := _asks_costates(node)) and (node.gradient == "autograd" or node.compiled):
        raise ValueError(
            f'{who} needs gradient="discrete" or "adjoint", and no compile: autograd has no costates'
        )
    if not isinstance(node.compiled, bool | str):
        raise ValueError(f"compile must be True, False or a mode, got {node.compiled!r}")
    if isinstance(node.compiled, str):
        try:
            torch.compile(check_settings, mode=node.compiled)
        except RuntimeError as error:
            raise ValueError(f"compile must be a mode of torch.compile: {error}") from None


def _asks_costates(node: Node) -> object:
    """Return the name of what asks for costates: record as set, or the callback; else False."""
    if getattr(node, "callback_costates", None) is not None:
        return "callback_costates"
    return node.record and ("record" if node.record is True else node.record)


def _check_span(node: Node) -> None:
    ends: object = node.span
    if not isinstance(ends, (tuple, list)):
        raise ValueError(f"span must be two finite numbers, got {ends!r}")
    if any(isinstance(x, Tensor) and x.requires_grad for x in ends):
        raise ValueError(
            "an end of span requires a gradient, which span has not: give the ends as times t"
        )
    if len(ends) != 2 or not all(is_number(x) and math.isfinite(x) for x in ends):
        raise ValueError(f"span must be two finite numbers, got {ends}")
    start, end = ends
    if not start < end:
        raise ValueError(f"span must end after its start, got {ends}")
    regular = node.regular_start is not None
    if any(start < pole <= end or (start == pole and not regular) for pole in node.singular_times):
        raise ValueError(
            f"the equations are singular at t = {node.singular_times}, in the span {ends}: "
            "start later"
        )


def _check_method(node: Node, solver: str, name: str) -> None:
    ours = ["auto", *METHODS]
    known = {"": ours, "torchode": TORCHODE}
    if name not in known.get(solver, ()) and not _is_of_torchdiffeq(solver, name):
        others = [*ours, *MULTISTEP, "scipy_solver"]
        raise ValueError(
            f"method must be one of {others}, one of {[*solver_names()]} after torchdiffeq:, or one "
            f"of {TORCHODE} after torchode:, got {node.method!r}"
        )
    if solver == "torchode" and find_spec("torchode") is None:
        raise ValueError(f"{node.method} needs the package torchode: install it")


def _is_of_torchdiffeq(solver: str, name: str) -> bool:
    """Return whether torchdiffeq takes the steps, which is only then imported."""
    return solver == "torchdiffeq" and name in solver_names()


def _check_gradient(node: Node, solver: str, name: str) -> None:
    if name == "scipy_solver" and node.gradient != "adjoint":
        raise ValueError('scipy_solver keeps no graph: use gradient="adjoint"')
    if node.gradient != "discrete" or solver != "torchdiffeq":
        return
    if name in LATE_STAGES or name not in METHODS:
        raise ValueError(
            f'gradient="discrete" needs a one-step method, and {node.method} uses values of '
            'earlier steps: take gradient="autograd" or "adjoint"'
        )
    if grid := {"grid_constructor", "step_t", "jump_t"} & {*node.options}:
        raise ValueError(f'{grid} needs gradient="autograd" or "adjoint"')


def _check_grid(node: Node, solver: str, name: str) -> None:
    if node.grid not in (None, "auto"):
        raise ValueError(f'grid must be None or "auto", got {node.grid!r}')
    estimates = name == "auto" or (name in METHODS and METHODS[name].estimates)
    if node.grid and (solver or not estimates):
        able = [known for known, method in METHODS.items() if method.estimates]
        raise ValueError(
            f'grid="auto" needs a method that estimates its error, one of {able}, got '
            f"{node.method!r}"
        )
    idle = {*node.options} - _ON_A_GRID
    if node.options.get("norm") == "sample":
        idle -= {"norm"}
    if node.grid and idle:
        raise ValueError(f'{sorted(idle)} have no meaning with grid="auto"')
    sized = {"steps", "step_size"} & {*node.options} or node.grid
    if node.compiled and (solver or (estimates and not sized)):
        raise ValueError(
            "compile needs a grid: steps or step_size among the options, or "
            f'grid="auto", and a method of this module, got {node.method!r}'
        )


def _check_options(node: Node, solver: str) -> None:
    names = ["max_steps"] if solver == "torchode" else [*Options._fields]
    if solver != "torchdiffeq" and not {*node.options} <= {*names}:
        unknown = sorted(map(str, {*node.options} - {*names}))
        raise ValueError(f"options must be in {names}, got {unknown}")
    for option, value in node.options.items():
        if option in FITTING and not FITTING[option].fits(value):
            raise ValueError(f"{option} must be {FITTING[option].words}, got {value!r}")
    if node.options.get("steps") and node.options.get("step_size"):
        raise ValueError("steps and step_size are two ways to say the same: give one")


def check_tolerance(node: Node, states: Tensors) -> None:
    """Refuse an error that the numbers cannot have, where errors are estimated: ValueError."""
    solver, name = solver_of(node.method)
    method = METHODS.get(name)
    fixed = {"steps", "step_size"} & {*node.options} or (method and not method.estimates)
    estimates = method.estimates if method else solver != "torchdiffeq"
    if torch.compiler.is_compiling() or fixed or not estimates:
        return
    eps = torch.finfo(states[0].dtype).eps
    for state, x in zip(node.state_names, states):
        size = largest(x.detach())
        if not holds(node.atol + node.rtol * size >= eps / 2 * size):
            raise ValueError(
                f"rtol = {node.rtol:.3g} and atol = {node.atol:.3g} ask for more of {state}, of "
                f"size {size.item():.3g}, than {x.dtype} can hold (a relative {eps / 2:.1e}): "
                "loosen them, or take float64"
            )
