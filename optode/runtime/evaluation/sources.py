"""Collect the tensors that a solve reads beside the states and the times."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..aliases import Inputs, Tensors
from ..torch_internals import modules_of

if TYPE_CHECKING:
    from ..node import Node


class Sources(NamedTuple):
    """Hold the parameters and the inputs of a solve.

    ``inputs`` are those that the field gets, ``tensors`` the tensors among them. ``own`` are the
    parameters of the node itself, ``others`` those of its modules and of inputs that are modules;
    ``modules`` are all of these. Its questions are methods: traces of PyTorch 2.10 cannot read
    properties of a NamedTuple.
    """

    inputs: Inputs
    tensors: Tensors
    own: Tensors
    others: Tensors
    modules: tuple[nn.Module, ...]

    def parameters(self) -> Tensors:
        """Return all parameters."""
        return self.own + self.others

    def are_whole(self) -> bool:
        """Return whether all parameters are plain ones, not sharded."""
        return all(type(p) is nn.Parameter for p in self.parameters())

    def are_shaped(self) -> bool:
        """Return whether no parameter waits for its shape, as those of lazy layers do."""
        return not any(map(is_lazy, self.others))

    def are_lent(self) -> bool:
        """Return whether tensors took the place of parameters for one call, as in functional_call."""
        return not all(isinstance(p, nn.Parameter) for p in self.parameters())

    def learned(self, own: bool) -> Tensors:
        """Return the tensors that require a gradient; with the node's own parameters or without."""
        found = (*(self.own if own else ()), *self.others, *self.tensors)
        return tuple(x for x in dict.fromkeys(found) if x.requires_grad)

    def apart(self) -> Sources:
        """Return sources whose inputs are leaves, with no part in the graph that made them."""
        if not any(x.requires_grad for x in self.tensors):
            return self
        leaves = tuple(x.detach().requires_grad_(x.requires_grad) for x in self.tensors)
        inputs: Inputs = leaves[0] if isinstance(self.inputs, Tensor) else leaves
        if isinstance(self.inputs, tuple) and hasattr(self.inputs, "_make"):  # with names
            inputs = self.inputs._make(leaves)
        return self._replace(inputs=inputs, tensors=leaves)


def sources_of(node: Node, inputs: Inputs) -> Sources:
    """Return the sources of a solve."""
    roots = (node, inputs) if isinstance(inputs, nn.Module) else (node,)
    if torch.compiler.is_compiling():  # a trace may not depend on which modules these are
        modules: tuple[nn.Module, ...] = ()
        own = tuple(node.parameters(recurse=False))
        others = tuple(p for m in (*node.children(), *roots[1:]) for p in m.parameters())
    else:
        modules, parameters = modules_of(*roots)
        count = len(node._parameters)
        own = tuple(p for p in parameters[:count] if p is not None)
        others = tuple(p for p in parameters[count:] if p is not None)
    tensors: Tensors = ()
    if isinstance(inputs, Tensor):
        tensors = (inputs,)
    elif isinstance(inputs, tuple):
        tensors = inputs
    return Sources(inputs, tensors, own, others, modules)
