"""A short run of the fuzzer, the same on every machine: ``python -m tests.fuzz`` runs it for long."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fuzz.__main__ import PROPERTIES, run


@pytest.mark.parametrize("name", PROPERTIES)
def test_random_texts_are_read_or_refused(name: str) -> None:
    fault = run(name, 1, Counter())
    if fault is not None:
        raise fault
