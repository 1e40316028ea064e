"""Carry the states of a node between irregular observations, with a recurrent cell at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .aliases import Inputs, Tensors
from .node import Node
from .solution import SequenceSolution, SequenceStats
from .times import own_start


class ODERNN(nn.Module):
    """Carry states through irregular observations: equations between, a recurrent cell at each.

    Between two times the states of the model follow its equations, each sample over its
    own interval. Where a sample is observed, with values x, the cell updates the
    position h, the first state:

        h = cell(x, h)

    The other states (a momentum m, a second moment v) go on unchanged: x does not measure
    them, and so they carry the past over the observation. One cell, with one number of
    parameters, fits every model. A cell may update more states, as the residual cells of
    Xia et al. do: with updates=("h", "m")

        h, m = cell(x, (h, m))

    which is also how nn.LSTMCell is called.

    At the first time h is zero, or as given, and the cell updates it with what is
    observed there. The other states start as the model says: those that the cell updates
    before it is called, the others from the updated h.

    Fitted steps go on from interval to interval: the first step of one is as long as the next
    one would have been in the interval before, and is tried again shorter where that is too long.

    References:
        Rubanova, Chen and Duvenaud 2019, arXiv:1907.03907
        Xia et al. 2021, arXiv:2110.04840

    Args:
        node: any ``Node``. Its method, tolerances and gradient hold in
            every interval, which takes the place of its span. With its record=True the
            stats have the costates of all intervals after a backward pass.
        cell: nn.GRUCell, nn.RNNCell or another callable that maps (x, h) to the new h, or
            (x, the updated states) to these states.
        readout: a callable that maps h to the output, by default h itself.
        updates: names of the states that the cell updates, by default the first.

    Raises:
        ValueError: where values, times, mask or start do not fit.
    """

    def __init__(
        self,
        node: Node,
        cell: Callable[[Tensor, Any], Any],
        readout: Callable[[Tensor], Tensor] | None = None,
        updates: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        names = node.state_names
        self.updates = names[:1] if updates is None else tuple(updates)
        if not self.updates or sorted({*self.updates} & {*names}) != sorted(self.updates):
            raise ValueError(f"updates must be names in {names}, each once, got {updates!r}")
        self.places = [names.index(name) for name in self.updates]
        self.node = node
        self.cell = cell
        self.readout = nn.Identity() if readout is None else readout

    def forward(
        self,
        values: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        start: Tensor | Tensors | None = None,
        inputs: Inputs = None,
    ) -> Tensor:
        """Return the readout of h at every time, after the observation: (batch, times, ...)."""
        solution = self.integrate(values, times, mask, start, inputs)
        return self.readout(solution.states[0])

    def integrate(
        self,
        values: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        start: Tensor | Tensors | None = None,
        inputs: Inputs = None,
    ) -> SequenceSolution:
        """Return all states at every time, before and after the observation there.

        Args:
            values: what is observed, of shape (batch, times, ...).
            times: (batch, times), or (times,) for all samples. They do not decrease, and
                where one is repeated, as in padding, the states stand still.
            mask: (batch, times), true where a sample is observed, by default everywhere.
                Or of the shape of the values: a sample is observed where any value is,
                and the values that are not enter the cell as zeros.
            start: h at the first time, before the observation there, (batch, ...), by
                default zeros of the cell's hidden_size. Or all states there.
            inputs: the inputs of the field, as the model takes them.
        """
        values, times, observed = _checked(values, times, mask)
        stats = SequenceStats()
        before, after = list[Tensor](), list[list[Tensor]]()
        states = self._start(values, start)
        if self.places != [0] and len(states) == 1:
            states = tuple(self.node.initial_states(states[0], inputs, own_start(times, states[0])))
        for i in range(times.shape[1]):
            before.append(states[0])
            states = self._updated(states, values[:, i], observed[:, i])
            # from h alone the model makes the other states; the last interval is a point
            given = states if len(states) > 1 else states[0]
            with _beginning(self.node, stats):
                solution = self.node.integrate(given, times[:, i : i + 2], inputs)
            after.append([z[0] for z in solution.states])
            states = tuple(z[-1] for z in solution.states)
            stats.solves.append(solution.stats)
        trajectories = [torch.stack(z, dim=1) for z in zip(*after)]
        states = solution.states._make(trajectories)
        return SequenceSolution(times, states, torch.stack(before, dim=1), stats)

    def _start(self, values: Tensor, start: Tensor | Tensors | None) -> Tensors:
        """Return the position at the first time, with the other states where given."""
        if start is None:
            size = getattr(self.cell, "hidden_size", None)
            if size is None:
                raise ValueError("the cell has no hidden_size: give start")
            start = values.new_zeros(len(values), size)
        states = (start,) if isinstance(start, Tensor) else tuple(start)
        if {len(z) for z in states} != {len(values)}:
            shapes = [tuple(z.shape) for z in states]
            raise ValueError(f"start must have {len(values)} samples, got {shapes}")
        return states

    def _updated(self, states: Tensors, x: Tensor, observed: Tensor) -> Tensors:
        """Return the states, updated by the cell in the samples that are observed."""
        old = tuple(states[place] for place in self.places)
        new = self.cell(x, old[0] if len(old) == 1 else old)
        new = (new,) if isinstance(new, Tensor) else tuple(new)
        if [z.shape for z in new] != [z.shape for z in old]:
            shapes = [tuple(z.shape) for z in new]
            raise ValueError(f"the cell must return {self.updates}, as they are, got {shapes}")
        seen = observed.view(-1, *[1] * (states[0].ndim - 1))
        found = list(states)
        for place, z, past in zip(self.places, new, old):
            found[place] = torch.where(seen, z, past)
        return tuple(found)


@contextmanager
def _beginning(node: Node, stats: SequenceStats) -> Iterator[None]:
    """Let a solve begin with a step as long as the one that the solve before would have taken next."""
    length = stats.solves[-1].next_length if stats.solves else None
    if length is None:
        yield
        return
    node.first_length = length
    try:
        yield
    finally:
        node.first_length = None


def padded(values: Sequence[Tensor], times: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Make one batch of sequences of different lengths: return values, times and mask.

    A sequence that is short repeats its last time, where nothing is observed: the mask is
    False there. Leave these places out of the loss: output[mask], target[mask].
    """
    lengths = torch.tensor([len(t) for t in times], device=times[0].device)
    places = torch.arange(int(lengths.max()), device=lengths.device)
    mask = places < lengths[:, None]
    filled = pad_sequence(list(times), batch_first=True)
    last = filled.gather(1, lengths[:, None] - 1)
    filled = torch.where(mask, filled, last)
    return pad_sequence(list(values), batch_first=True), filled, mask


def _checked(values: Tensor, times: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return values with 0 where not observed, times, and the mask, both (batch, times)."""
    sizes = values.shape[:2]
    if len(sizes) < 2 or 0 in sizes or times.shape not in (sizes, sizes[1:]):
        raise ValueError(
            "expected values of shape (batch, times, ...) and times of shape (batch, "
            f"times) or (times,), got {tuple(values.shape)} and {tuple(times.shape)}"
        )
    times = times.expand(sizes)
    if mask is None:
        return values, times, times.new_ones(sizes, dtype=torch.bool)
    if mask.shape not in (sizes, values.shape):
        raise ValueError(
            f"mask must have shape {tuple(sizes)} or {tuple(values.shape)}, got {tuple(mask.shape)}"
        )
    mask = mask.bool()
    observed = mask.reshape(*sizes, -1)
    seen = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
    return torch.where(seen, values, 0.0), times, observed.any(dim=2)
