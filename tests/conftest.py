"""What holds for every test."""

import gc

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the collector what lives as long as the process: most tests collect when they end, to see what they left."""
    gc.collect()
    gc.freeze()
