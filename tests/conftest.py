"""What holds for every test."""

import gc

import pytest
from hypothesis import settings

# Hypothesis otherwise fails an example that takes 200 ms, as any may on a busy machine.
settings.register_profile("unhurried", deadline=None)
settings.register_profile("brief", deadline=None, max_examples=20)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="module")
def only_what_is_young_is_collected() -> None:
    """Spare the collector what is here to stay: many tests collect at their end, to see what they left behind."""
    gc.collect()
    gc.freeze()
