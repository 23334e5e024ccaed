"""What holds for every test."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def only_what_is_young_is_collected() -> Iterator[None]:
    """Spare the collector what is here to stay: many tests collect at their end, to see what they left behind."""
    gc.collect()
    gc.freeze()
    yield
