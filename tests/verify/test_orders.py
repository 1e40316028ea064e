"""Every shipped rule goes to its derived equations with the order that these predict."""

from __future__ import annotations

from pathlib import Path

import pytest
from shipped import THOROUGH

from optode.verification.orders.report import as_text, rows, verify

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "verification.md"
EXPECTED = (0, 1, 3, 5)  # name, scaling and the expected orders: the same on every machine


@pytest.mark.parametrize("name", THOROUGH)
def test_orders(name):
    checks = verify(name)
    assert all(check.passes for check in checks), f"\n{as_text(checks)}"
    printed = {_expected(line.strip("| \n").split(" | ")) for line in PAGE.read_text().splitlines()}
    for row in rows(checks):
        assert _expected(row) in printed, f"{PAGE.name} is stale"


def _expected(row):
    return tuple(row[i].strip() for i in EXPECTED) if len(row) > max(EXPECTED) else ()
