"""What optode knows of each function of matrices, in one record; see ``functions.py``."""

from __future__ import annotations

from optode.language.matrices import (
    column_highest,
    column_mean,
    column_total,
    columns,
    eigenvectors,
    eye,
    inv_root,
    matmul,
    newton_schulz,
    ones,
    polar,
    row_highest,
    row_mean,
    row_total,
    rows,
    trace,
    transposed,
)
from optode.language.record import Function, Shorthand, over_features

MATRIX_RECORDS: tuple[Function | Shorthand, ...] = (
    over_features(matmul, "{} @ {}", "product", arguments=2),
    over_features(transposed, "{}.mT", "turned"),
    over_features(trace, "trace({})", "trace"),
    over_features(eye, "eye({})", "identity"),
    over_features(ones, "torch.ones_like({})", "ones"),
    over_features(row_total, "row_total({})", "row_sums"),
    over_features(column_total, "column_total({})", "column_sums"),
    over_features(row_mean, "row_mean({})", "row_means"),
    over_features(column_mean, "column_mean({})", "column_means"),
    over_features(
        row_highest, "row_maximum({})", "row_tops", name="row_maximum", smoothness="kink"
    ),
    over_features(
        column_highest,
        "column_maximum({})",
        "column_tops",
        name="column_maximum",
        smoothness="kink",
    ),
    Shorthand(name="rows", arguments=(1,), domain="real", make=rows),
    Shorthand(name="columns", arguments=(1,), domain="real", make=columns),
    Shorthand(name="polar", arguments=(1,), domain="real", make=polar),
    Shorthand(name="newton_schulz", arguments=(1, 2), domain="real", make=newton_schulz),
    Shorthand(name="inv_root", arguments=(2,), domain="real", make=inv_root),
    Shorthand(name="eigenvectors", arguments=(1,), domain="real", make=eigenvectors),
)
