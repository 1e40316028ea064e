"""Sum gradients over the steps of a backward pass."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .torch_internals import add_scaled, scaled


class Bars:
    """Sum gradients by the sources of a solve in place; None where no step reached a source."""

    def __init__(self, count: int) -> None:
        self.found: list[Tensor | None] = [None] * count

    def add(self, found: Sequence[Tensor | None], weight: float = 1.0) -> None:
        """Add gradients times a weight, one for each source; None adds nothing."""
        into, added, new = [], [], []
        for i, x in enumerate(found):
            if x is None:
                continue
            if (known := self.found[i]) is None:
                new.append((i, x))
            else:
                into.append(known)
                added.append(x)
        if into:
            add_scaled(into, added, weight)
        if new:
            # copies: two sources may have been given one tensor
            for (i, _), x in zip(new, scaled([x for _, x in new], weight)):
                self.found[i] = x
