"""Functions of batches of matrices, of shape (..., rows, columns).

Derivatives of the polar factor and of inverse roots are smooth where singular values or eigenvalues
coincide, and so are computed here rather than through those of a decomposition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)
"""The coefficients of the Newton-Schulz iteration of Jordan et al. 2024."""

_seen: ContextVar[list[str] | None] = ContextVar("singular matrices", default=None)


def rows(x: Tensor) -> int:
    """Return the number of rows."""
    return x.shape[-2]


def columns(x: Tensor) -> int:
    """Return the number of columns."""
    return x.shape[-1]


def trace(x: Tensor) -> Tensor:
    """Return the sum of the diagonal of each matrix, of shape (n, 1, 1)."""
    return x.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]


def eye(x: Tensor) -> Tensor:
    """Return identity matrices with as many rows as x has."""
    identity = torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
    return identity.expand(*x.shape[:-2], -1, -1)


def row_total(x: Tensor) -> Tensor:
    """Return the sum of each row in the shape of x."""
    return x.sum(-1, keepdim=True).expand_as(x)


def column_total(x: Tensor) -> Tensor:
    """Return the sum of each column in the shape of x."""
    return x.sum(-2, keepdim=True).expand_as(x)


def row_mean(x: Tensor) -> Tensor:
    """Return the mean of each row in the shape of x."""
    return x.mean(-1, keepdim=True).expand_as(x)


def column_mean(x: Tensor) -> Tensor:
    """Return the mean of each column in the shape of x."""
    return x.mean(-2, keepdim=True).expand_as(x)


def row_maximum(x: Tensor) -> Tensor:
    """Return the largest value of each row in the shape of x; equal ones share the gradient."""
    return x.amax(-1, keepdim=True).expand_as(x)


def column_maximum(x: Tensor) -> Tensor:
    """Return the largest value of each column in the shape of x; equal ones share the gradient."""
    return x.amax(-2, keepdim=True).expand_as(x)


def polar(x: Tensor) -> Tensor:
    """Return the polar factor U V^T of each matrix U S V^T; nan for one without full rank."""
    return _smooth(x, _polar, _polar_along)


def inv_root(x: Tensor, root: int) -> Tensor:
    """Return the inverse root of the symmetric part of each matrix; nan where it is not positive."""
    return _smooth(x, partial(_inverse_root, root=root), partial(_inverse_root_along, root=root))


def eigenvectors(x: Tensor) -> Tensor:
    """Return the eigenvectors of the symmetric part of each matrix in columns, by ascending values.

    The largest component of each is positive. There is no gradient where eigenvalues coincide.
    """
    safe, missing = _finite(x)
    vectors = torch.linalg.eigh((safe + safe.mT) / 2)[1]
    largest = vectors.detach().abs().argmax(-2, keepdim=True)
    signs = vectors.detach().gather(-2, largest).sign()
    return (vectors * signs).masked_fill(missing, torch.nan)


def newton_schulz(x: Tensor, steps: int) -> Tensor:
    """Return the iterate of Muon's quintic iteration that approximates the polar factor.

    It starts from each matrix divided by its Frobenius norm (Jordan et al. 2024).
    """
    high = x.shape[-2] > x.shape[-1]
    y = x.mT if high else x
    y = y / y.pow(2).sum((-2, -1), keepdim=True).sqrt()
    a, b, c = QUINTIC
    for _ in range(steps):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.mT if high else y


@contextmanager
def singular_functions() -> Iterator[list[str]]:
    """Collect the names of the functions that are evaluated at, or close to, a singular matrix."""
    names: list[str] = []
    token = _seen.set(names)
    try:
        yield names
    finally:
        _seen.reset(token)


def _note(name: str, small: Tensor, large: Tensor) -> None:
    names = _seen.get()
    if names is not None and bool((small <= 1e-6 * large).any()):
        names.append(name)


def _smooth(
    x: Tensor, value: Callable[[Tensor], Tensor], along: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    result: Tensor = _SelfAdjoint.apply(x, value, along)  # type: ignore[no-untyped-call]
    return result


class _SelfAdjoint(torch.autograd.Function):
    """A function of matrices whose derivative is a symmetric operator, given as ``(at, along)``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, value: Callable[[Tensor], Tensor], along: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        return value(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.along = inputs[2]

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return ctx.along(x, bars[0]), None, None

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        change: Tensor = ctx.along(x, directions[0])
        return change


def _finite(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrices that can be decomposed, and where another took the place of one with nan."""
    missing = ~x.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    other = torch.eye(*x.shape[-2:], dtype=x.dtype, device=x.device)
    return torch.where(missing, other, x), missing


def _polar(x: Tensor) -> Tensor:
    x, missing = _finite(x)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    small, large = s[..., -1:, None], s[..., :1, None]
    _note("polar", small, large)
    singular = small <= max(x.shape[-2:]) * torch.finfo(x.dtype).eps * large
    return (u @ v).masked_fill(singular | missing, torch.nan)


def _polar_along(x: Tensor, along: Tensor) -> Tensor:
    """Return the derivative (Higham 2008, section 8.2): of a product P H, P turns and is stretched."""
    x = _finite(x)[0]
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    inner = u.mT @ along @ v.mT
    turned = u @ ((inner - inner.mT) / (s[..., :, None] + s[..., None, :])) @ v
    if x.shape[-2] == x.shape[-1]:
        return turned
    if x.shape[-2] > x.shape[-1]:
        beside = along @ v.mT - u @ inner
        return turned + (beside / s[..., None, :]) @ v
    beside = u.mT @ along - inner @ v
    return turned + u @ (beside / s[..., :, None])


def _inverse_root(x: Tensor, root: int) -> Tensor:
    x, missing = _finite(x)
    values, vectors = torch.linalg.eigh((x + x.mT) / 2)
    _note(f"inv_root of order {root}", values[..., :1], values[..., -1:].abs())
    powers = torch.where(values > 0, values, torch.nan) ** (-1 / root)
    return ((vectors * powers[..., None, :]) @ vectors.mT).masked_fill(missing, torch.nan)


def _inverse_root_along(x: Tensor, along: Tensor, root: int) -> Tensor:
    """Return the derivative by divided differences (Daleckii and Krein 1965; Higham 2008)."""
    x = _finite(x)[0]
    values, vectors = torch.linalg.eigh((x + x.mT) / 2)
    a, b, power = values[..., :, None], values[..., None, :], -1 / root
    apart = (a - b).abs() > torch.finfo(x.dtype).eps ** (1 / 3) * a.abs()
    middle = (a + b) / 2
    close = power * middle ** (power - 1)
    close = close * (1 + (power - 1) * (power - 2) / 24 * ((a - b) / middle) ** 2)
    gaps = torch.where(apart, a - b, 1.0)
    slopes = torch.where(apart, (a**power - b**power) / gaps, close)
    inner = vectors.mT @ ((along + along.mT) / 2) @ vectors
    return vectors @ (slopes * inner) @ vectors.mT
