"""What holds for every test."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def only_what_is_young_is_collected() -> None:
    """Spare the collector what is here to stay: many tests collect at their end, to see what they left behind."""
    gc.collect()
    gc.freeze()
