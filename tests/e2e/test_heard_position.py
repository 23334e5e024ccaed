"""What the server says was heard, against what a client really received."""

import asyncio
from pathlib import Path

from tests.support.rtc_client import RtcClient, listening
from tests.support.server_process import serving

WORDS = [f"word{number}" for number in range(20)]
SECONDS = 8.0
SCRIPT = f"""
rules:
  - when: anything
    answer: [{{say: {" ".join(WORDS)}, tone: 440, seconds: {SECONDS}}}]
"""
TOLERANCE = 0.2


async def settled(client: RtcClient) -> float:
    """How much voice has come once no more comes."""
    async with asyncio.timeout(10):
        while True:
            before = client.heard
            # Time itself: nothing marks the end of the voice but that none comes for a while.
            await asyncio.sleep(0.3)
            if client.heard == before:
                return before


async def hear_out(server: str) -> None:
    async with listening(server) as client:
        session = (await client.until("session_started"))["id"]
        for wanted in (0.3, 1.1, 2.6, 4.7):
            client.forget()
            client.send(action="text_input", text="count")
            async with asyncio.timeout(20):
                await client.first.wait()
                await client.until_heard(wanted)
            client.send(action="interrupt")
            event = await client.until("interrupted")
            said = (await client.until("text_response"))["text"]
            received = await settled(client)
            heard = event["heard_ms"] / 1000
            assert abs(heard - received) <= TOLERANCE
            words = event["heard_text"].split()
            assert words == WORDS[: len(words)]
            # Word n begins at n times the length of a word.
            word = SECONDS / len(WORDS)
            assert received - TOLERANCE <= len(words) * word <= received + TOLERANCE + word
            assert said == event["heard_text"]
            history = await (await client.http.get(f"/api/v1/sessions/{session}/history")).json()
            kept = [entry for entry in history["entries"] if entry["turn"] == event["turn"]][-1]
            assert (kept["text"], kept["interrupted"], kept["heard_ms"]) == (said, True, event["heard_ms"])


def test_what_was_heard_is_told_and_kept_within_200_ms(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)
    with serving(tmp_path, LOCAL_ENGINE_SCRIPT=str(tmp_path / "script.yaml")) as server:
        asyncio.run(hear_out(server.address))
