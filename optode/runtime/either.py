"""Call a function of PyTorch on a number as well as on a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def either(function: Callable[[Tensor], Tensor], x: float | Tensor) -> float | Tensor:
    """Return PyTorch's function of a tensor; of a number, the number that the function gives it.

    ``math`` has most functions under the name that PyTorch has them.
    """
    if isinstance(x, Tensor):
        return function(x)
    plain: Callable[[float], float] | None = getattr(math, function.__name__, None)
    if plain is not None:
        return plain(x)
    return function(torch.tensor(x, dtype=torch.float64, device="cpu")).item()
