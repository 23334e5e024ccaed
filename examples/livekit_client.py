"""Join a LiveKit room, ask in writing, print the answer and keep its voice.

pip install livekit aiohttp
python livekit_client.py
"""

import asyncio
import os
import wave

import aiohttp
from livekit import rtc

SERVER = os.environ.get("SERVER", "http://localhost:8000")


async def main() -> None:
    """Connect, ask, and leave when the whole answer was read."""
    async with aiohttp.ClientSession(SERVER) as http:
        guest = await (await http.post("/api/v1/guests")).json()
        headers = {"Authorization": f"Bearer {guest['access_token']}"}
        join = await (await http.get("/api/v1/livekit/token", headers=headers)).json()
    room, is_over, tasks = rtc.Room(), asyncio.Event(), []

    async def record(track: rtc.Track) -> None:
        with wave.open("answer.wav", "wb") as file:
            file.setparams((1, 2, 48_000, 0, "NONE", ""))
            async for event in rtc.AudioStream(track):
                file.writeframes(event.frame.data)

    async def show(reader: rtc.TextStreamReader, identity: str) -> None:
        print(f"{identity}: {await reader.read_all()}")
        is_over.set()

    room.on("track_subscribed", lambda track, *_: tasks.append(asyncio.create_task(record(track))))
    room.register_text_stream_handler(
        "lk.transcription", lambda *stream: tasks.append(asyncio.create_task(show(*stream)))
    )
    await room.connect(join["server_url"], join["participant_token"])
    await room.local_participant.send_text("what time is it", topic="lk.chat")
    await is_over.wait()
    await room.disconnect()
    await asyncio.gather(*tasks)


asyncio.run(main())
