"""See what becomes of gradients over the time of a model: the spectrum of its adjoint propagator.

The propagator takes dL/dz at the end to dL/dz at the start; it is the transposed Jacobian of the
end by the start. Xia et al. pair its eigenvalues so that products are exp(-gamma T). That is exact
for the whole: its determinant is exp(int tr dz'/dz), which for HBNODE is exp(-N gamma T).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.trained import trained

SAMPLES = 64


def measure(names: list[str]) -> pd.DataFrame:
    """Return, for each model, medians over samples of log10 singular values and the determinant."""
    rows = []
    for label, current in trained(names):
        node = current.network.node.double()
        node.method, node.gradient, node.rtol, node.atol = "dopri8", "autograd", 1e-9, 1e-9
        h0 = current.network.start(current.sets.test.inputs[:SAMPLES]).double()
        values = np.linalg.svd(propagators(node, h0), compute_uv=False)
        start, end = node.span
        gamma = float(torch.as_tensor(getattr(node, "gamma", np.nan)).detach())
        with np.errstate(divide="ignore"):  # a velocity at a singular start has no part in the end
            logs = np.log10(values)
        rows.append(
            {
                "model": label,
                "largest": float(np.median(logs[:, 0])),
                "smallest": float(np.median(logs[:, -1])),
                "determinant": float(np.median(logs.sum(1))),
                "heavy_ball": -h0.shape[-1] * gamma * (end - start) / np.log(10),
            }
        )
    return pd.DataFrame(rows)


def propagators(node: Any, h0: Tensor) -> np.ndarray:
    """Return the Jacobian of all states at the end by those at the start, one for each sample."""
    states = [x.detach().requires_grad_() for x in node.initial_states(h0)]
    ends = torch.cat([x[-1] for x in node.integrate(tuple(states)).states], -1)
    rows = [
        torch.cat(torch.autograd.grad(ends[:, k].sum(), states, retain_graph=True), -1)
        for k in range(ends.shape[-1])
    ]
    return torch.stack(rows, 1).numpy()
