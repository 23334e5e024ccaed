"""More video than one frame per second does no harm (statement 28)."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from google.genai import types

from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from tests.support.live_client import closing, dial, open_session, setup, turn, until


class FrameRecorder:
    """A responder that keeps what it was shown."""

    def __init__(self) -> None:
        self.screens: list[bytes | None] = []

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        self.screens.append(question.screen)
        yield Speech(bytes(1_920), ())


@pytest.mark.parametrize("frames", [2, 60])
async def test_of_fast_video_the_newest_frame_is_seen_and_one_is_counted(vad: VadModel, frames: int) -> None:
    recorder = FrameRecorder()
    async with LocalEngine(recorder, vad=vad) as engine, open_session(engine) as session:
        for number in range(frames):
            picture = types.Blob(data=b"\xff\xd8" + bytes([number]) * 1_000, mime_type="image/jpeg")
            await session.send_realtime_input(video=picture)
        await session.send_realtime_input(text="hi")
        usage = (await until(session, "turn_complete")).usage_metadata
        assert recorder.screens == [b"\xff\xd8" + bytes([frames - 1]) * 1_000]
        assert usage is not None
        images = [
            detail.token_count
            for detail in usage.prompt_tokens_details or []
            if detail.modality is types.MediaModality.IMAGE
        ]
        assert images == [256]


async def test_fast_video_does_not_disturb_an_answer(vad: VadModel) -> None:
    async with LocalEngine(FrameRecorder(), vad=vad) as engine, open_session(engine) as session:
        await session.send_realtime_input(text="hi")
        for _ in range(30):
            await session.send_realtime_input(video=types.Blob(data=b"\xff\xd8", mime_type="image/jpeg"))
        assert await turn(session) == ["audio", "generation_complete", "turn_complete"]


@pytest.mark.parametrize("mime", ["audio/pcm;rate=16000", "video/mp4", "text/plain", ""])
async def test_video_that_is_no_image_closes_the_session(vad: VadModel, mime: str) -> None:
    blob = {"data": base64.b64encode(b"abcd").decode(), "mimeType": mime}
    async with LocalEngine(FrameRecorder(), vad=vad) as engine, dial(engine) as peer:
        await peer.send(setup())
        await peer.send(json.dumps({"realtimeInput": {"video": blob}}))
        code, reason = await closing(peer)
    assert code == 1007
    assert "MIME" in reason


async def test_audio_that_is_an_image_closes_the_session(vad: VadModel) -> None:
    async with LocalEngine(FrameRecorder(), vad=vad) as engine, dial(engine) as peer:
        await peer.send(setup())
        await peer.send(json.dumps({"realtimeInput": {"audio": {"data": "/9g=", "mimeType": "image/jpeg"}}}))
        assert (await closing(peer))[0] == 1007
