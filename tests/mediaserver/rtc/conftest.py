"""Every test here must leave nothing behind."""

import threading
from collections.abc import AsyncIterator

import aioice.ice
import pytest

from tests.support.leak_check import nothing_left


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task, no decoder thread, no socket, and no exception that nobody took."""
    vars(aioice.ice._mdns).clear()  # holds a lock for the process, which belongs to the loop of an earlier test
    async with nothing_left():
        yield
    assert not [thread for thread in threading.enumerate() if "decoder" in thread.name]
