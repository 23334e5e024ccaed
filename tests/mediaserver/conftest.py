"""What tests of several packages stand on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from mediaserver.store.sql import open_store
from mediaserver.store.store import Store

# Hypothesis otherwise fails an example that takes 200 ms, as any may on a busy machine.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty database in a file."""
    opened = await open_store(None, data_dir=tmp_path / "data")
    yield opened
    await opened.close()
