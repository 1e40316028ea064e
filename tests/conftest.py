"""Fixtures for every test; the classes and functions tests import by name are in fields.py and
modules.py.
"""

from __future__ import annotations

import gc
import signal

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def young():
    """Leave what earlier modules keep (graphs, expressions) out of the searches for garbage.

    They are thousands of tests together, and each search would go through all that they keep.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    """Random numbers from one seed, and afterwards those that would have come without the test."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed takes 7 ms for other devices
        yield


@pytest.fixture
def float64(seeded):
    """New tensors in double precision, from one seed, for this test alone."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def interruptible():
    """Let SIGINT interrupt this process and those that it starts: a job in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
