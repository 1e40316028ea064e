"""Wrap the parts of PyTorch that have no public name, each in one place.

``torch._foreach_add_`` adds many small gradients in one call, which halves the time of the
backward pass of a small network. ``Tensor._version`` alone shows that a buffer was changed in
place. ``UntypedStorage._cdata`` is the one key of memory that wrapped tensors have too, as in a
Jacobian-vector product. ``torch._dynamo`` alone says whether a call compiled, and has the limits of its cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from .aliases import Bars

_CACHE_LIMITS = {"cache_size_limit": 2**16, "accumulated_cache_size_limit": 2**16}


def holds(condition: Tensor) -> bool:
    """Return the truth of a condition on values, and True where they are traced or batched."""
    if torch.compiler.is_compiling():
        return True
    try:
        return bool(condition)
    except RuntimeError:
        return True


def is_exporting() -> bool:
    """Return whether ``torch.export`` traces this call."""
    exporting = getattr(torch.compiler, "is_exporting", None)  # PyTorch 2.7 has it
    return bool(exporting is not None and exporting())


def add_to(bars: Bars, found: Sequence[Tensor | None], weight: float = 1.0) -> None:
    """Add weighed gradients to the bars in place; None counts as zero."""
    pairs = [(bar, x) for bar, x in zip(bars, found) if x is not None]
    if pairs:
        into, added = zip(*pairs)
        torch._foreach_add_(into, added, alpha=weight)


def version(buffer: Tensor) -> int:
    """Return the number of changes that were made to a tensor in place."""
    return buffer._version


def storage_of(x: Tensor) -> tuple[int, int]:
    """Return a key of the memory that a tensor and its views share, and the tensor's bytes."""
    if x.layout is not torch.strided:
        return id(x), x._nnz() * x.element_size()
    return x.untyped_storage()._cdata, x.numel() * x.element_size()


def graphs_compiled() -> int:
    """Return the number of graphs that ``torch.compile`` has compiled in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@contextmanager
def unlimited_compilations() -> Iterator[None]:
    """Let ``torch.compile`` keep one graph for each kind of node, however many there are."""
    with torch._dynamo.config.patch(_CACHE_LIMITS):
        yield
