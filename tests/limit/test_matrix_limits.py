"""Rules for whole matrices approach their limits at the predicted order, and those of next order."""

from __future__ import annotations

import pytest

from optode.compiler import derive
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

RULES = {
    "two_sided": """
state: [x, left]
update: |
  g = grad(x[k])
  left[k+1] = left[k] + lr*(g @ g.T - left[k])
  x[k+1] = x[k] - lr*(inv_root(left[k+1] + c*eye(x), 2) @ g)
""",
    "fixed_average": """
state: [x, m]
update: |
  m[k+1] = c*m[k] + (1 - c)*grad(x[k])
  x[k+1] = x[k] - lr*(x[k] @ (x[k].T @ m[k+1] - m[k+1].T @ x[k]))
""",
    "traced": """
state: [x]
update: |
  g = grad(x[k])
  x[k+1] = x[k] - lr*(g + c*column_mean(x[k]) - trace(g @ x[k].T)*x[k]/(1 + norm(x[k])**2))
""",
}


def test_a_matrix_function_of_0_makes_the_start_singular():
    """Like Adagrad without an eps: x' grows like 1/sqrt(t)."""
    text = """
state: [x, left]
update: |
  g = grad(x[k])
  left[k+1] = left[k] + lr*(g @ g.T)
  x[k+1] = x[k] - lr*(inv_root(left[k+1], 2) @ g)
"""
    spec = parse_spec(f"name: sums\nstep_size: lr\nshape: matrix{text}")
    assert derive(spec).limit.singular_times == (0,)
    (found,) = verify(spec)
    assert found.limit.observed == pytest.approx(0.5, abs=0.1)
    assert found.passes


@pytest.mark.parametrize("name", [*RULES, "muon", "shampoo", "soap", "adafactor_factored"])
def test_orders(name):
    spec = name
    if name in RULES:
        head = f"name: {name}\nstep_size: lr\nshape: matrix\nparameters: {{c: fixed}}"
        spec = parse_spec(head + RULES[name])
    (found,) = verify(spec)
    assert not found.failures
    assert found.limit.observed == pytest.approx(1, abs=0.1)
    assert found.next_order.observed == pytest.approx(2, abs=0.15)
