"""Fixtures of the acceptance tests."""

from collections.abc import Iterator

import pytest

from tests.support.server_process import Server, open_page, serving

__all__ = ["open_page"]

SONG = "rules: [{when: anything, heard: something, answer: [{say: la la la, tone: 440, seconds: 30}]}]"


@pytest.fixture(scope="module")
def singing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose every answer is a tone of half a minute."""
    folder = tmp_path_factory.mktemp("singing")
    (folder / "script.yaml").write_text(SONG)
    with serving(folder, LOCAL_ENGINE_SCRIPT=str(folder / "script.yaml"), RATE_LIMIT_OFFER="1000/minute") as running:
        yield running
