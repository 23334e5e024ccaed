"""The product on an engine that ends every connection after seconds: nobody hears it."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from mediaserver.localengine.responder.tone import tone_responder
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.connection_lifetime import Lifetime
from tests.support.rtc_client import RtcClient, listening
from tests.support.server_process import serving

pytestmark = pytest.mark.acceptance

MINUTES = 3.0
SECONDS = 4
"""Of tone in each reply."""


async def ask_and_hear(client: RtcClient) -> float:
    """One question and its whole answer; the longest gap in it."""
    client.forget()
    client.send(action="text_input", text="count")
    said = await client.until("text_response")
    complete = await client.until("turn_complete")
    await client.until_heard(SECONDS - 0.1)
    assert complete["heard_ms"] == SECONDS * 1000
    assert len(said["text"].split()) > SECONDS
    assert SECONDS - 0.1 <= client.heard <= SECONDS + 0.1
    return client.longest_gap


async def talk(server: str, engine: LocalEngine) -> tuple[int, int, float]:
    """Turns, engine connections, and the longest gap in an answer (s)."""
    chance = random.Random(1)
    connections: set[object] = set()

    async def count() -> None:
        while True:
            connections.update(engine._sessions)
            await asyncio.sleep(0.05)

    counting = asyncio.create_task(count())
    gaps = []
    async with listening(server) as client:
        until = time.monotonic() + MINUTES * 60
        while time.monotonic() < until:
            gaps.append(await ask_and_hear(client))
            # The user's pause: questions must meet the end of a connection at every moment of its life.
            await asyncio.sleep(chance.uniform(0.0, 1.5))
    counting.cancel()
    return len(gaps), len(connections), max(gaps)


@pytest.mark.timeout(400)
def test_connections_that_end_every_few_seconds_are_not_heard(tmp_path: Path) -> None:
    async def scene() -> tuple[int, int, float]:
        lifetime = Lifetime(until_warning=5.0, after_warning=9.0)
        async with LocalEngine(tone_responder(SECONDS), lifetime=lifetime) as engine:
            (tmp_path / "engine.pem").write_bytes(engine.certificate)
            settings = {
                "ENGINE": "gemini",
                "GEMINI_API_KEY": "any",
                "GEMINI_BASE_URL": engine.base_url,
                "GEMINI_CA_FILE": str(tmp_path / "engine.pem"),
                "ALLOW_GUESTS": "true",
            }
            entered = serving(tmp_path, **settings)
            server = await asyncio.to_thread(entered.__enter__)
            try:
                return await talk(server.address, engine)
            finally:
                await asyncio.to_thread(entered.__exit__, None, None, None)

    turns, connections, gap = asyncio.run(scene())
    print(f"\n{turns} turns over {connections} connections; longest gap in an answer {gap * 1000:.0f} ms")
    assert turns > MINUTES * 6
    assert connections >= 6 * MINUTES
    # How long a gap is depends on the machine too; that none is made by the roll-over, the simulations prove.
