"""Gemini Live behind the SDK's interface, without a network: sessions end every few seconds, announced or not."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from google.genai import errors, types
from websockets.exceptions import ConnectionClosedError

from pipeline.media import SPEECH_SAMPLE_RATE

CHUNK = (np.sin(np.arange(SPEECH_SAMPLE_RATE // 5) * 0.1) * 9000).astype("<i2").tobytes()
"""200 ms of a reply."""


@dataclass(frozen=True, slots=True)
class Habits:
    """The ends of sessions, in seconds; `crashes` is the share without goAway, `refusals` that of refused handles."""

    age: tuple[float, float] = (3.0, 9.0)
    warning: tuple[float, float] = (5.2, 12.0)
    crashes: float = 0.0
    refusals: float = 0.0


@dataclass
class Memory:
    """The model's memory of the conversation, in order: ("audio" | "text" | "told" | "said", text)."""

    lines: list[tuple[str, Any]] = field(default_factory=list)


class Session:
    """One connection, with the methods of the SDK's AsyncSession that a bridge uses."""

    def __init__(self, gemini: "SimulatedGemini", memory: Memory, *, has_history: bool):
        self.setup_complete = types.LiveServerSetupComplete()
        self.memory = memory
        self._ws = SimpleNamespace(transport=SimpleNamespace(abort=lambda: None))
        self._gemini = gemini
        self._expects_history = has_history
        self._inbox = asyncio.Queue[types.LiveServerMessage | errors.APIError]()
        self._tasks = set[asyncio.Task[None]]()
        self._window: bytearray | None = None
        self._reply: asyncio.Task[None] | None = None
        self.is_dead = False
        self._spawn(self._live())

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Client messages.

    async def send_realtime_input(
        self,
        *,
        audio: types.Blob | None = None,
        video: types.Blob | None = None,
        text: str | None = None,
        activity_start: types.ActivityStart | None = None,
        activity_end: types.ActivityEnd | None = None,
    ) -> None:
        self._check()
        if activity_start is not None:
            self._interrupt()
            self._window = bytearray()
        elif audio is not None:
            assert self._window is not None, "audio outside of a window is lost"
            assert audio.data is not None
            self._window += audio.data
        elif activity_end is not None:
            assert self._window is not None
            heard, self._window = bytes(self._window), None
            self.memory.lines.append(("audio", heard))
            words = self._gemini.understands(heard)
            self._say(types.LiveServerContent(input_transcription=types.Transcription(text=words)))
            self._answer(words)
        elif text is not None:
            self._interrupt()
            self.memory.lines += [("text", question) for question in text.splitlines()]
            self._answer(text.splitlines()[-1])
        else:
            assert video is not None

    async def send_client_content(
        self, *, turns: types.Content | list[types.Content] | None = None, turn_complete: bool = True
    ) -> None:
        self._check()
        contents = turns if isinstance(turns, list) else [turns] if turns is not None else []
        for content in contents:
            for part in content.parts or []:
                self.memory.lines.append(("told", part.text))
        if self._expects_history:
            assert turn_complete, "what came before is said at once"
            self._expects_history = False
        elif turns is None:
            self._interrupt()
        else:
            assert not turn_complete, "a note is no question"

    async def send_tool_response(self, *, function_responses: object) -> None:
        self._check()

    async def receive(self) -> AsyncIterator[types.LiveServerMessage]:
        while True:
            message = await self._inbox.get()
            if isinstance(message, errors.APIError):
                self._inbox.put_nowait(message)
                raise message
            yield message
            if message.server_content is not None and message.server_content.turn_complete:
                return

    # Replies of the model.

    def _say(self, content: types.LiveServerContent) -> None:
        self._inbox.put_nowait(types.LiveServerMessage(server_content=content))

    def _interrupt(self) -> None:
        reply, self._reply = self._reply, None
        if reply is not None and not reply.done():
            reply.cancel()
            self._say(types.LiveServerContent(interrupted=True))
            self._say(types.LiveServerContent(turn_complete=True))
            self._give_handle()

    def _answer(self, question: str) -> None:
        self._interrupt()
        self._reply = self._spawn(self._speak(question))

    async def _speak(self, question: str) -> None:
        chance = self._gemini.chance
        await asyncio.sleep(chance.uniform(0.2, 1.0))
        seconds = chance.choice([1, 2, 3, 5, 8])
        began = asyncio.get_running_loop().time()
        for second in range(seconds):
            word = f"{question}/{second} "
            self._say(types.LiveServerContent(output_transcription=types.Transcription(text=word)))
            for _ in range(5):
                blob = types.Blob(data=CHUNK, mime_type=f"audio/pcm;rate={SPEECH_SAMPLE_RATE}")
                part = types.Part(inline_data=blob)
                self._say(types.LiveServerContent(model_turn=types.Content(parts=[part])))
            await asyncio.sleep(chance.uniform(0.1, 0.4))  # faster than it is spoken
        self.memory.lines.append(("said", question))
        self._gemini.whole_replies[question] = " ".join(f"{question}/{second}" for second in range(seconds))
        self._say(types.LiveServerContent(generation_complete=True))
        await asyncio.sleep(max(0.0, began + seconds - asyncio.get_running_loop().time()))
        self._say(types.LiveServerContent(turn_complete=True))
        self._give_handle()

    def _give_handle(self) -> None:
        handle = self._gemini.keep(self.memory)
        update = types.LiveServerSessionResumptionUpdate(new_handle=handle, resumable=True)
        self._inbox.put_nowait(types.LiveServerMessage(session_resumption_update=update))

    async def _live(self) -> None:
        gemini, habits = self._gemini, self._gemini.habits
        self._give_handle()
        await asyncio.sleep(gemini.chance.uniform(*habits.age))
        if gemini.chance.random() < habits.crashes:
            gemini.crashes += 1
            self._die(1006, "abnormal closure [internal]")
            return
        left = gemini.chance.uniform(*habits.warning)
        self._inbox.put_nowait(types.LiveServerMessage(go_away=types.LiveServerGoAway(time_left=f"{left:.3f}s")))
        await asyncio.sleep(left)
        gemini.overdue += 1
        self._die(1011, "Deadline expired before operation could complete.")

    def _die(self, code: int, reason: str) -> None:
        self.is_dead = True
        if self._reply is not None:
            self._reply.cancel()
        self._inbox.put_nowait(errors.APIError(code, {"message": reason}))

    def _check(self) -> None:
        if self.is_dead:
            raise ConnectionClosedError(None, None)

    async def close(self) -> None:
        self.is_dead = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.sleep(0.05)


class SimulatedGemini:
    """A fake `genai.Client`."""

    def __init__(self, chance: random.Random, habits: Habits):
        self.aio = SimpleNamespace(live=self)
        self.chance = chance
        self.habits = habits
        self.connections = 0
        self.resumed = 0
        self.seeded = 0
        self.crashes = 0
        self.overdue = 0
        self.most_open = 0
        self.whole_replies: dict[str, str] = {}
        self.words: dict[bytes, str] = {}
        self.last: Memory = Memory()
        self._open = 0
        self._kept: dict[str, list[tuple[str, Any]]] = {}

    def understands(self, heard: bytes) -> str:
        """Return the words of this audio; unknown audio is noise."""
        return self.words.get(heard, "[noise]")

    def keep(self, memory: Memory) -> str:
        handle = f"handle-{len(self._kept)}"
        self._kept[handle] = list(memory.lines)
        return handle

    @asynccontextmanager
    async def connect(self, *, model: str, config: types.LiveConnectConfig) -> AsyncIterator[Session]:
        await asyncio.sleep(self.chance.uniform(0.05, 0.6))
        assert config.session_resumption is not None
        handle = config.session_resumption.handle
        if handle is not None and self.chance.random() < self.habits.refusals:
            raise errors.APIError(1008, {"message": "BidiGenerateContent session not found"})
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        self.connections += 1
        self.resumed += handle is not None
        self.seeded += config.history_config is not None
        memory = Memory(list(self._kept[handle]) if handle else [])
        self.last = memory
        session = Session(self, memory, has_history=config.history_config is not None)
        try:
            yield session
        finally:
            await session.close()
            self._open -= 1
