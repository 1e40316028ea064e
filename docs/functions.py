"""Print the examples of functions on the page of the language: python docs/functions.py

For each function a rule `x[k+1] = x[k] - s*(...)` that calls it, and the limit of the rule.
"""

from __future__ import annotations

import optode
from optode.language.text import to_text

EXAMPLES = {
    "sqrt": "grad(x)/sqrt(abs(grad(x)) + c)",
    "abs": "abs(grad(x))*x",
    "sign": "sign(grad(x))",
    "exp": "exp(-c*x**2)*grad(x)",
    "log": "log(1 + c*abs(x))*grad(x)",
    "tanh": "tanh(grad(x)/c)",
    "sigmoid": "sigmoid(x)*grad(x)",
    "softplus": "softplus(grad(x))",
    "silu": "silu(grad(x))",
    "gelu": "gelu(grad(x))",
    "relu": "relu(grad(x) - c)",
    "expm1": "expm1(c*grad(x))/c",
    "log1p": "sign(grad(x))*log1p(abs(grad(x)))",
    "cos": "cos(x)*grad(x)",
    "sin": "sin(x) + grad(x)",
    "atan2": "atan2(grad(x), c)",
    "hardtanh": "hardtanh(grad(x), -5, 5)",
    "clip": "clip(grad(x), -c, c)",
    "soft_threshold": "soft_threshold(grad(x), c)",
    "max": "max(grad(x), -c)",
    "min": "min(grad(x), c)",
    "where": "where(abs(grad(x)) > c, sign(grad(x)), grad(x)/c)",
    "norm": "grad(x)/(norm(grad(x)) + c)",
    "dot": "dot(x, grad(x))*x",
    "total": "grad(x)/(1 + total(x**2))",
    "mean": "grad(x) - mean(grad(x))",
    "maximum": "grad(x)/(c + maximum(abs(grad(x))))",
    "minimum": "grad(x)*(c + minimum(x**2))",
    "count": "grad(x)/count(x)",
    "trace": "grad(x)/(1 + trace(x @ x.T))",
    "eye": "(x @ x.T + c*eye(x)) @ grad(x)",
    "rows": "grad(x)/sqrt(rows(x))",
    "columns": "grad(x)/sqrt(columns(x))",
    "row_total": "grad(x)/(c + row_total(x**2))",
    "column_total": "grad(x)/(c + column_total(x**2))",
    "row_mean": "grad(x) - row_mean(grad(x))",
    "column_mean": "grad(x) - column_mean(grad(x))",
    "row_maximum": "grad(x)/(c + row_maximum(abs(grad(x))))",
    "column_maximum": "grad(x)/(c + column_maximum(abs(grad(x))))",
    "polar": "polar(grad(x))",
    "newton_schulz": "newton_schulz(grad(x), 5)",
    "inv_root": "inv_root(x @ x.T + c*eye(x), 2) @ grad(x)",
    "eigenvectors": "eigenvectors(x @ x.T) @ grad(x)",
}
MATRICES = ("@", ".T", "trace", "eye", "rows", "columns", "row_", "column_", "polar", "newton")
_SPEC = """\
name: example
step_size: s
{shape}parameters: {{c: fixed}}
state: [x]
update: |
  x[k+1] = x[k] - s*({formula})
"""


def limit(formula: str) -> str:
    """Return the limit of the rule that moves by a formula."""
    shape = "shape: matrix\n" if any(word in formula for word in MATRICES) else ""
    spec = optode.parse(_SPEC.format(shape=shape, formula=formula))
    derivation = optode.derive(spec)
    if problem := derivation.check_limit():
        raise ValueError(problem)
    return to_text(derivation.limit.equations[0])


def rows() -> list[str]:
    """Return the rows of the table."""
    head = ["| function | in a rule | its limit |", "|---|---|---|"]
    return [*head, *(f"| `{n}` | `{f}` | `x' = {limit(f)}` |" for n, f in EXAMPLES.items())]


if __name__ == "__main__":
    print("\n".join(rows()))
