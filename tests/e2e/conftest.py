"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.support.server_process import Server, open_page, server, serving

__all__ = ["open_page", "server"]

TONE = """
rules:
  - when: anything
    heard: something
    answer: [{say: one two three four five six seven eight nine ten, tone: 440, seconds: 10}]
"""


@pytest.fixture(scope="module")
def droning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose every answer is a tone of ten seconds."""
    folder = tmp_path_factory.mktemp("droning")
    (folder / "script.yaml").write_text(TONE)
    with serving(folder, LOCAL_ENGINE_SCRIPT=str(folder / "script.yaml"), RATE_LIMIT_OFFER="1000/minute") as running:
        yield running
