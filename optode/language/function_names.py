"""The names of functions that a spec may call, for what reads specs without deriving anything."""

ELEMENTWISE_NAMES = (
    "sqrt", "abs", "sign", "exp", "log", "tanh", "sigmoid", "softplus", "silu", "gelu", "relu",
    "expm1", "log1p", "cos", "sin", "atan2", "hardtanh", "clip", "soft_threshold", "max", "min", "where",
)  # fmt: skip
FEATURE_NAMES = ("norm", "dot", "total", "mean", "maximum", "minimum", "count")
MATRIX_NAMES = (
    "trace", "eye", "rows", "columns", "row_total", "column_total", "row_mean", "column_mean",
    "row_maximum", "column_maximum", "polar", "newton_schulz", "inv_root", "eigenvectors",
)  # fmt: skip
"""What sees rows and columns, and needs a position that is a matrix."""

FUNCTION_NAMES = (*ELEMENTWISE_NAMES, *FEATURE_NAMES, *MATRIX_NAMES)
"""``functions.py`` has a record for each."""

IN_MODULES = (
    "count", "dot", "maximum", "mean", "minimum", "total", "trace", "eye", "row_total",
    "column_total", "row_mean", "column_mean", "row_maximum", "column_maximum", "rows", "columns",
)  # fmt: skip
"""The functions that equations of emitted modules call by these names."""

OPERATORS_IN_MODULES = ("polar", "newton_schulz", "inv_root", "eigenvectors")
"""The matrix functions, which emitted classes have as attributes."""
