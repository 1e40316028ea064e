"""The names of functions that a spec may call, for what reads specs without deriving anything."""

FUNCTION_NAMES = (
    "sqrt", "abs", "sign", "exp", "log", "tanh", "sigmoid", "softplus", "silu", "gelu", "relu",
    "hardtanh", "max", "min", "norm", "dot",
)  # fmt: skip
"""Elementwise but norm and dot; ``functions.py`` has a record for each."""
