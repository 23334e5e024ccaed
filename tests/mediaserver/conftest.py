"""What tests of several packages stand on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mediaserver.store.interface import Store
from mediaserver.store.sql_store import open_store
from pipeline.audio.vad import VadModel
from tests.support.conversation_harness import vad_model


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty database in a file."""
    opened = await open_store(None, data_dir=tmp_path / "data")
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def vad() -> VadModel:
    """The one that all share, as the sessions of a server do."""
    return vad_model()
