"""A pause of the speaker lets the responder begin, and what was begun is abandoned when it is not wanted."""

import asyncio
from collections.abc import AsyncIterator, Callable

from google.genai import types
from google.genai.live import AsyncSession

from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from tests.support.live_client import SECOND, kinds, open_session
from tests.support.recordings import speech


class AheadResponder:
    """Understands as much as it began to listen to ahead of the question."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.abandoned: list[bytes] = []
        self.asked: list[Question] = []
        self.has_begun = asyncio.Event()
        self.has_abandoned = asyncio.Event()

    def new_memory(self) -> Memory:
        return Memory()

    def listen_ahead(self, audio: bytes, memory: Memory) -> Callable[[], None]:
        self.begun.append(audio)
        self.has_begun.set()

        def abandon() -> None:
            self.abandoned.append(audio)
            self.has_abandoned.set()

        return abandon

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        self.asked.append(question)
        yield Recognition("ahead" if question.audio[: question.speech_bytes] in self.begun else "late")


async def hear(session: AsyncSession, pcm: bytes) -> None:
    await session.send_realtime_input(audio=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))


async def ended(session: AsyncSession) -> list[str]:
    await session.send_realtime_input(activity_end=types.ActivityEnd())
    return [said async for message in session.receive() for said in kinds(message)]


async def test_a_pause_begins_the_transcription_that_the_question_then_takes(vad: VadModel) -> None:
    responder = AheadResponder()
    async with LocalEngine(responder, vad=vad) as engine, open_session(engine) as session:
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await hear(session, speech().tobytes() + SECOND)
        await responder.has_begun.wait()
        assert not responder.asked
        assert "in:ahead" in await ended(session)
        assert not responder.abandoned


async def test_it_is_abandoned_when_the_speaker_goes_on(vad: VadModel) -> None:
    responder = AheadResponder()
    async with LocalEngine(responder, vad=vad) as engine, open_session(engine) as session:
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await hear(session, speech().tobytes() + SECOND)
        await responder.has_begun.wait()
        await hear(session, speech().tobytes())
        await responder.has_abandoned.wait()
        assert responder.abandoned[0] == responder.begun[0]
        await hear(session, SECOND)
        assert "in:ahead" in await ended(session)
        assert responder.asked[0].audio[: responder.asked[0].speech_bytes] == responder.begun[-1]


async def test_it_is_abandoned_when_the_client_leaves(vad: VadModel) -> None:
    responder = AheadResponder()
    async with LocalEngine(responder, vad=vad) as engine:
        async with open_session(engine) as session:
            await session.send_realtime_input(activity_start=types.ActivityStart())
            await hear(session, speech().tobytes() + SECOND)
            await responder.has_begun.wait()
        await responder.has_abandoned.wait()
