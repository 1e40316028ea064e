"""Solve neural ODEs of the forms that optimizers give, with their derived gradients.

Generated modules import from here; a ``Node`` can be written by hand as well. Needs PyTorch and
torchdiffeq alone.
"""

from .aliases import Field, Gradients, Inputs, Operator, Pull, Rates, Rests, Tensors, Times
from .evaluation.field import BoundField
from .evaluation.loss import Loss, set_loss
from .features import FeatureNode
from .lending import learned_value
from .matrices import MatrixNode
from .matrix_functions import (
    column_maximum,
    column_mean,
    column_total,
    columns,
    eigenvectors,
    eye,
    inv_root,
    newton_schulz,
    polar,
    row_maximum,
    row_mean,
    row_total,
    rows,
    trace,
)
from .node import Node
from .ode_rnn import ODERNN, padded
from .parameters import Learn, Value, set_constant, set_learned, set_operator
from .reductions import count, dot, maximum, mean, minimum, total
from .solution import Solution, Stats

__all__ = [
    "ODERNN",
    "BoundField",
    "FeatureNode",
    "Field",
    "Gradients",
    "Inputs",
    "Learn",
    "Loss",
    "MatrixNode",
    "Node",
    "Operator",
    "Pull",
    "Rates",
    "Rests",
    "Solution",
    "Stats",
    "Tensors",
    "Times",
    "Value",
    "column_maximum",
    "column_mean",
    "column_total",
    "columns",
    "count",
    "dot",
    "eigenvectors",
    "eye",
    "inv_root",
    "learned_value",
    "maximum",
    "mean",
    "minimum",
    "newton_schulz",
    "padded",
    "polar",
    "row_maximum",
    "row_mean",
    "row_total",
    "rows",
    "set_constant",
    "set_learned",
    "set_loss",
    "set_operator",
    "total",
    "trace",
]
