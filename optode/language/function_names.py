"""The names of functions that a spec may call, for what reads specs without deriving anything."""

FUNCTION_NAMES = (
    "sqrt", "abs", "sign", "exp", "log", "tanh", "sigmoid", "softplus", "silu", "gelu", "relu",
    "expm1", "log1p", "cos", "sin", "atan2", "hardtanh", "clip", "soft_threshold", "max", "min", "where", "norm",
    "dot", "total", "mean", "maximum", "minimum", "count",
)  # fmt: skip
"""Elementwise up to where, over the features from norm on; ``functions.py`` has a record for each."""
