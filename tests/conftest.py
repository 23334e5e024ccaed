"""What holds for every test."""

import gc

import pytest
from hypothesis import settings

# Hypothesis otherwise fails an example that takes 200 ms, as any may on a busy machine.
settings.register_profile("brief", deadline=None, max_examples=20)
settings.register_profile("usual", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=400)
settings.load_profile("usual")


@pytest.fixture(autouse=True, scope="module")
def only_what_is_young_is_collected() -> None:
    """Spare the collector what is here to stay: many tests collect at their end, to see what they left behind."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of one file that starts servers or browsers in one process, so that it starts them once."""
    for item in items:
        if {"e2e", "web"} & set(item.path.parts):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
