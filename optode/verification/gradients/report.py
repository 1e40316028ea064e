"""Check the gradients of models on a field, and write the results as a table."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from optode.codegen.in_memory import class_from_text
from optode.compiler import derive, shipped_models
from optode.derivation import AnySpec
from optode.diagnostics import SpecError, did_you_mean
from optode.model.model import NeuralODE
from optode.spec.shipped import is_file
from optode.verification.gradients.checks import GradientCheck, check_gradients

Field: TypeAlias = Callable[..., Tensor]


class FieldError(Exception):
    """A field that cannot be found, or with which a model cannot be solved; the message says why."""


class TanhNetwork(nn.Module):
    """tanh layers with the time added, of any number of states; its Jacobian is not symmetric."""

    def __init__(self, states: int, features: int) -> None:
        super().__init__()
        self.inner = nn.Linear(states * features, 2 * features)
        self.outer = nn.Linear(2 * features, features)

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        """Return the field at a time and states of shape (..., features)."""
        layer: Tensor = self.outer(torch.tanh(self.inner(torch.cat(states, -1)) + t))
        return layer


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The checks of one model; ``failure`` says why there are none."""

    name: str
    checks: tuple[GradientCheck, ...] = ()
    failure: str = ""

    @property
    def passes(self) -> bool:
        """Whether every check was measured and lies within its bounds."""
        return not self.failure and all(check.passes for check in self.checks)


def verify_gradients(
    spec: AnySpec,
    field: Field | None = None,
    method: str = "rk4",
    shape: tuple[int, ...] | None = None,
) -> ModelCheck:
    """Return the checks of a spec's model, made in memory, with the field (a tanh network) in it.

    The shape of a state is (3, 4), of a matrix (3, 4, 4), unless another is given. All states start
    at random in (0.5, 1.5), which suits second moments and counters, Gram matrices at positive ones, and
    are observed at four times of the first half of the model's span, which begins after a quarter of it
    where the equations are singular at the start. Raises SpecError for a spec in error or without a
    model, and FieldError where the model cannot be solved.
    """
    derivation = derive(spec)
    text, model = derivation.module_text, derivation.model
    made = class_from_text(text, derivation.name, model.class_name)
    start, end = _span(model)
    shape = shape or ((3, 4, 4) if model.is_matrix else (3, 4))
    times = [start + (end - start) * k / _TIMES for k in range(1, _TIMES + 1)]
    settings: dict[str, Any] = {"span": (start, end), "method": method}
    settings |= {str(p.symbol): _GENERIC for p in model.parameters if p.required}
    settings |= dict.fromkeys(model.operators, torch.tanh)
    settings |= {"loss": trial_loss} if model.has_loss else {}
    if "features" in inspect.signature(made).parameters:
        settings["features"] = shape[min(1, len(shape) - 1)]
    expected = (ValueError, ArithmeticError, RuntimeError) if field is None else Exception
    try:
        with _same_draws():
            number = max(1, len(model.field_arguments))
            node = made(TanhNetwork(number, shape[-1]) if field is None else field, **settings)
            states = tuple(_start(shape, *sides) for sides in model.sides)
        checks = check_gradients(node, states, times)
    except expected as error:
        place = "" if field is None else f" (the states have shape {shape}: see --shape)"
        raise FieldError(f"{_told(error)}{place}") from error
    return ModelCheck(derivation.name, checks)


def _start(shape: tuple[int, ...], high: str, wide: str) -> Tensor:
    """Return where a state starts that is as high and as wide as this side of the position."""
    drawn = 0.5 + torch.rand(shape, dtype=torch.float64)
    if high != wide:
        return drawn
    apart = torch.arange(1.0, shape[-1] + 1, dtype=torch.float64)
    return drawn @ drawn.mT + torch.diag_embed(apart)


def trial_loss(t: Tensor, h: Tensor) -> Tensor:
    """Return a positive number for each sample: the loss where a model needs one."""
    each = (1.5 + torch.sin(t)) * torch.log1p(h.square()) / 20
    return each.flatten(min(1, h.ndim - 1)).sum(-1)


@contextmanager
def _same_draws() -> Iterator[None]:
    """Draw random numbers from a fixed seed, and leave the caller's generator as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(_SEED)
        yield


def verify_all_gradients(method: str = "rk4") -> Iterator[ModelCheck]:
    """Yield the checks of all shipped models; a model that raises gives a check that failed."""
    for spec in shipped_models():
        try:
            yield verify_gradients(spec, method=method)
        except SpecError as error:
            yield ModelCheck(spec.name.text, failure=error.diagnostics[0].message)
        except FieldError as error:
            yield ModelCheck(spec.name.text, failure=str(error))


def _span(model: NeuralODE) -> tuple[float, float]:
    start, end = model.span
    middle = (start + end) / 2
    return ((start + middle) / 2 if start in map(float, model.singular_times) else start), middle


def load_field(place: str) -> Field:
    """Return the field ``FILE.py:NAME``: a callable ``f(t, h)``, or a class that takes no arguments.

    The file is run. Raises FieldError with what is missing or went wrong.
    """
    file, _, name = place.rpartition(":")
    if not file or not name:
        raise FieldError(f"expected FILE.py:NAME, got {place!r}")
    if not is_file(Path(file)):
        raise FieldError(f"there is no file {file!r}")
    with _same_draws():
        return _made(_run(Path(file)), file, name)


def _made(module: Any, file: str, name: str) -> Field:
    if not hasattr(module, name):
        hint = did_you_mean(name, vars(module))
        raise FieldError(f"{file} has no {name!r}" + (f": {hint}" if hint else ""))
    field = getattr(module, name)
    if isinstance(field, type):
        try:
            field = field()
        except Exception as error:
            raise FieldError(f"{name} cannot be made without arguments: {_told(error)}") from error
    if not callable(field):
        raise FieldError(f"{name} is a {type(field).__name__}, not a callable f(t, h)")
    made: Field = field
    return made


def _run(path: Path) -> Any:
    """Run a file as a module, which may import from its own folder."""
    name = f"optode_field_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise FieldError(f"{path} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise FieldError(f"{path} cannot be run: {_told(error)}") from error
    finally:
        sys.path.pop(0)
    return module


def _told(error: Exception) -> str:
    """Return an exception as one line; an exception of a check goes without its type."""
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


def rows(models: Sequence[ModelCheck]) -> list[tuple[str, ...]]:
    """Return the table as text: two lines of headings, then a line for each model.

    A bound that all models share stands under its heading, another beside its value.
    """
    bounds: dict[str, set[str]] = {}
    for check in (c for model in models for c in model.checks):
        bounds.setdefault(check.name, set()).add(check.bound)
    shared = {name: of.pop() if len(of) == 1 else "" for name, of in bounds.items()}
    lines = [("model", *shared, "remarks"), ("", *shared.values(), "")]
    for model in models:
        found = {check.name: check for check in model.checks}
        cells = (_cell(found[n], shared[n]) if n in found else "" for n in shared)
        lines.append((model.name, *cells, _remarks(model)))
    return lines


def _remarks(model: ModelCheck) -> str:
    """Return why there are no numbers, or the tensors with the largest errors."""
    places = (f"{c.name}: in {c.where}" for c in model.checks if c.where and not c.passes)
    return model.failure or "; ".join(places)


def _cell(check: GradientCheck, shared: str) -> str:
    value = check.shown if shared else f"{check.shown} of {check.high:.1e}"
    return value if check.passes else f"{value} (!)"


def as_text(models: Sequence[ModelCheck]) -> str:
    """Return the table in aligned columns."""
    table = rows(models)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_markdown(models: Sequence[ModelCheck]) -> str:
    """Return the table in Markdown."""
    heading, *table = rows(models)
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in table)
    lines = (heading, ["---"] * len(heading), *escaped)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_json(models: Sequence[ModelCheck]) -> str:
    """Return every measured value with its bounds as JSON; null stands for a value that is not finite."""
    document = [
        {
            "model": model.name,
            "passes": model.passes,
            "failure": model.failure,
            "checks": [
                {
                    "name": check.name,
                    "value": check.value if math.isfinite(check.value) else None,
                    "low": check.low,
                    "high": check.high,
                    "where": check.where,
                    "passes": check.passes,
                }
                for check in model.checks
            ],
        }
        for model in models
    ]
    return json.dumps(document, indent=2) + "\n"


_SEED = 0
_TIMES = 4
_GENERIC = 0.7
"""Of a constant that the caller has to give."""
