"""A second device that every machine has: tensors that say "meta", and compute on the CPU.

Within ``SecondDevice`` tensors of the device "meta" have numbers, kept apart on the CPU. An
operation that gets tensors of both devices is refused, as on a GPU, unless those of the CPU are
single numbers. Values that are read back to Python are counted.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

aten = torch.ops.aten
NAME = torch.device("meta")
MOVES = (aten._to_copy.default, aten.copy_.default)


def is_there(x):
    """Return whether x is a tensor of the second device."""
    return isinstance(x, torch.Tensor) and x.device == NAME


class SecondDevice(TorchDispatchMode):
    """Makes the device "meta" compute; ``reads`` counts values read back to Python."""

    def __init__(self):
        super().__init__()
        self.reads = 0
        self.memory = {}  # from the storages of the device to those of the CPU, and back
        self.places = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        flat, spec = tree_flatten((args, kwargs))
        there = [x for x in flat if is_there(x)]
        here = [x for x in flat if isinstance(x, torch.Tensor) and not is_there(x)]
        device = kwargs.get("device")
        if there and func not in MOVES and any(x.ndim for x in here):
            raise RuntimeError(f"{func} got tensors of two devices")
        leaves = bool(there) and device is not None and device != NAME
        self.reads += func is aten._local_scalar_dense.default or leaves
        goes_there = bool(there) if device is None else device == NAME
        if device is not None:
            kwargs["device"] = torch.device("cpu")
        flat, spec = tree_flatten((args, kwargs))
        args, kwargs = tree_unflatten([self.numbers(x) if is_there(x) else x for x in flat], spec)
        found = func(*args, **kwargs)
        return tree_map_only(torch.Tensor, self.moved, found) if goes_there else found

    def __enter__(self):
        self.patches = ExitStack()
        for owner, name in ((torch, "tensor"), (torch, "as_tensor"), (torch.Tensor, "new_tensor")):
            made = _from_numbers(getattr(owner, name), owner is torch.Tensor)
            self.patches.enter_context(patch.object(owner, name, made))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.patches.close()

    def numbers(self, x):
        """Return the tensor on the CPU that has the numbers of x."""
        storage = self.memory[x.untyped_storage()._cdata]
        empty = torch.empty(0, dtype=x.dtype)
        return empty.set_(storage, x.storage_offset(), x.shape, x.stride())

    def moved(self, x):
        """Return the tensor of the second device that has the numbers of x."""
        storage = x.untyped_storage()
        place = self.places.get(storage._cdata)
        place = place() if place is not None else None
        if place is None:
            place = torch.UntypedStorage(storage.nbytes(), device=NAME)
            self.memory[place._cdata] = storage
            self.places[storage._cdata] = weakref.ref(place)
            weakref.finalize(place, self._forget, place._cdata, storage._cdata)
        empty = torch.empty(0, dtype=x.dtype, device=NAME)
        return empty.set_(place, x.storage_offset(), x.shape, x.stride())

    def _forget(self, place, storage):
        self.memory.pop(place, None)
        self.places.pop(storage, None)


def _from_numbers(function, is_method):
    """Return a factory that keeps Python's numbers, which PyTorch drops on "meta"."""

    def made(*args, **kwargs):
        like = args[0] if is_method else None
        device = kwargs.pop("device", like.device if is_method else None)
        if device is None or torch.device(device) != NAME or is_there(args[-1]):
            return function(*args, **kwargs, device=device)
        if is_method:
            kwargs.setdefault("dtype", like.dtype)
        return TENSOR(args[-1], **kwargs).to(NAME)

    return made


TENSOR = torch.tensor
