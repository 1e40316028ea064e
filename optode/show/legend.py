"""Say what the operators in equations mean that no textbook of analysis has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optode.show.words import Line

MEANINGS: dict[str, str] = {
    "J(u)": "the Jacobian of g, in a model of f, applied to u",
    "D2(u, v)": "the second derivative of g, in a model of f, along u and v",
    "total(u)": "the sum over all values of a sample",
    "mean(u)": "the mean over all values of a sample",
    "norm(u)": "the Euclidean norm over all values of a sample",
    "dot(u, v)": "the inner product over all values of a sample",
    "maximum(u)": "the largest value of a sample",
    "minimum(u)": "the smallest value of a sample",
    "count(u)": "the number of values of a sample",
    "reaches(u)": "1 where u >= 0, else 0",
    "step(u)": "1 where u > 0, else 0",
    "soft_threshold(u, c)": "what is left of u outside of [-c, c]",
    "hardtanh(u, a, b)": "u cut to [a, b], without bounds to [-1, 1]",
    "trace(u)": "the sum of the diagonal",
    "eye(u)": "the identity matrix with as many rows as u",
    "rows(u)": "the number of rows",
    "columns(u)": "the number of columns",
    "row_total(u)": "the sum of each row",
    "row_mean(u)": "the mean of each row",
    "row_maximum(u)": "the largest value of each row",
    "column_total(u)": "the sum of each column",
    "column_mean(u)": "the mean of each column",
    "column_maximum(u)": "the largest value of each column",
    "polar(u)": "the polar factor: U V^T of u = U S V^T",
    "newton_schulz(u, n)": "the polar factor, approximated by n steps",
    "inv_root(u, n)": "the matrix power u^(-1/n)",
    "eigenvectors(u)": "the eigenvectors in columns, by ascending eigenvalues",
    "int sum(u) dt": "the integral over the span of the sum over all samples and values",
}
_NAMES = {re.split(r"[( ]", call)[0]: call for call in MEANINGS}
_CALL = re.compile(r"\b(int|\w+)(?=\(| sum\()")


def legend(text: str) -> Iterator[Line]:
    """Yield the operators that a text of equations calls, each with its meaning."""
    called = {match[1] for match in _CALL.finditer(text)}
    for name, call in _NAMES.items():
        if name in called:
            yield call, MEANINGS[call]
