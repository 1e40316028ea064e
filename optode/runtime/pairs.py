"""Go through a sequence in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def neighbours(items: Any) -> Iterator[tuple[Any, Any]]:
    """Return every item with the next: of a sequence, or of a tensor along its first dimension.

    As ``itertools.pairwise``, which torch.compile traces from PyTorch 2.5 on only.
    """
    return zip(items, items[1:])
