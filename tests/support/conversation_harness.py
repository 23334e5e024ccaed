"""A conversation with a manual clock, a fake client and a fake engine."""

import asyncio
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from pipeline.audio.smart_turn import EndOfTurnModel, OnVerdict
from pipeline.audio.vad import VadModel
from pipeline.config import ConversationConfig, TurnSettings
from pipeline.conversation.conversation import Conversation
from pipeline.conversation.guided_conversation import NO_GUIDANCE
from pipeline.engine import EngineListener, EngineReady, ReplyAudio, ReplyEnded, ReplyGenerated, ReplyText, ToolCall
from pipeline.events import EndReason, Event, Role, StateChanged, Usage
from pipeline.gemini.bridge import GeminiBridge
from pipeline.guidance.coach import GuidanceConfig
from pipeline.media import INPUT_SAMPLE_RATE, SPEECH_SAMPLE_RATE, AudioChunk, EncodedFrame, ScreenFrame, SpeechFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.tools.toolbox import Tool, Toolbox

DATA = Path(__file__).parents[1] / "data"
SECOND_OF_TONE = (np.sin(np.arange(SPEECH_SAMPLE_RATE) * 0.1) * 9000).astype("<i2").tobytes()


class ManualFrameClock(FrameClock):
    """A frame clock that ticks when the test calls `tick`."""

    def __init__(self) -> None:
        self.callbacks: dict[Callable[[], None], None] = {}

    def subscribe(self, callback: Callable[[], None]) -> None:
        self.callbacks[callback] = None

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        self.callbacks.pop(callback, None)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for callback in list(self.callbacks):
                callback()


class FakePeer:
    """A client that records events and frames in one order."""

    def __init__(self) -> None:
        self.log: list[Event | SpeechFrame] = []
        self.dismissed: EndReason | None = None
        self.flushed = 0

    def send_event(self, event: Event) -> None:
        self.log.append(event)

    def send_audio(self, frame: SpeechFrame) -> None:
        self.log.append(frame)

    def flush_audio(self) -> None:
        self.flushed += 1

    def disconnect(self, reason: EndReason) -> None:
        self.dismissed = reason

    @property
    def events(self) -> list[Event]:
        return [item for item in self.log if not isinstance(item, SpeechFrame)]

    @property
    def frames(self) -> list[SpeechFrame]:
        return [item for item in self.log if isinstance(item, SpeechFrame)]

    @property
    def states(self) -> list[str]:
        return [event.state.value for event in self.events if isinstance(event, StateChanged)]


class FakeEngine:
    """A fake bridge that records all input and emits the events of the test."""

    def __init__(self, listener: EngineListener) -> None:
        self.emit = listener.on_engine_event
        self.next_turn = listener.next_turn
        self.up: list[str] = []
        self.audio: list[AudioChunk] = []
        self.stills: list[EncodedFrame] = []
        self.answers: list[Mapping[str, object]] = []
        self.remembered: list[tuple[int, str, str]] = []
        self.is_ready = False
        self.fails: asyncio.Future[None] | None = None

    async def run(self) -> None:
        self.fails = asyncio.get_running_loop().create_future()
        self.ready()
        await self.fails

    def ready(self) -> None:
        self.is_ready = True
        self.emit(EngineReady("fake"))

    def start_utterance(self, turn: int) -> None:
        self.up.append(f"start {turn}")

    def push_audio(self, chunk: AudioChunk) -> None:
        self.audio.append(chunk)
        if self.up[-1] != "audio":
            self.up.append("audio")

    def push_frame(self, frame: EncodedFrame) -> None:
        self.stills.append(frame)
        self.up.append("frame")

    def stop_screen_share(self) -> None:
        self.up.append("hide")

    def add_context_note(self, text: str) -> None:
        self.up.append(text)

    def end_utterance(self) -> None:
        self.up.append("end")

    def cancel_utterance(self) -> None:
        self.up.append("cancel")

    def submit_text(self, turn: int, text: str) -> None:
        self.up.append(f"ask {turn} {text}")

    def interrupt_reply(self) -> None:
        self.up.append("stop")

    def add_transcript(self, turn: int, role: Role, text: str) -> None:
        self.remembered.append((turn, role.value, text))

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        self.answers.append(result)

    def reply(self, turn: int, text: str = "I can see a page.", *, seconds: int = 1, ended: bool = True) -> None:
        """Emit a whole reply at once, as fast as engines do."""
        self.emit(ReplyText(turn, text))
        for _ in range(seconds):
            self.emit(ReplyAudio(turn, AudioChunk(SECOND_OF_TONE, SPEECH_SAMPLE_RATE, 0.0)))
        self.emit(ReplyGenerated(turn))
        if ended:
            self.emit(ReplyEnded(turn, Usage({"total": 9}), None))


@dataclass
class ConversationHarness:
    """One running conversation with its fakes."""

    conversation: Conversation
    engine: FakeEngine
    frame_clock: ManualFrameClock
    peer: FakePeer
    task: asyncio.Task[EndReason] = field(init=False)
    heard: float = 0.0

    def say(self, pcm: bytes) -> None:
        """Push 16 kHz PCM as the client's microphone audio, 20 ms at a time."""
        for start in range(0, len(pcm), 640):
            self.conversation.push_audio(self.peer, AudioChunk(pcm[start : start + 640], INPUT_SAMPLE_RATE, self.heard))
            self.heard += len(pcm[start : start + 640]) / 32_000

    async def settle(self) -> None:
        """Run all callbacks and tasks that are ready."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for work that is done in a thread."""
        async with asyncio.timeout(10):
            while not is_so():
                await asyncio.sleep(0.001)

    async def leave(self) -> EndReason:
        """End the conversation and wait for its task."""
        self.conversation.end(EndReason.CLIENT)
        return await self.task


VAD: list[VadModel] = []


def vad_model() -> VadModel:
    """Load one model for all tests, as a server does."""
    if not VAD:
        VAD.append(VadModel())
    return VAD[0]


class FakeEndOfTurnModel(EndOfTurnModel):
    """Records the pauses it is asked about; the test gives the verdicts."""

    def __init__(self) -> None:
        self.is_warm = False
        self.pauses: list[tuple[bytes, OnVerdict]] = []

    def warm(self) -> None:
        self.is_warm = True

    def judge(self, pcm: bytes, on_verdict: OnVerdict) -> None:
        self.pauses.append((pcm, on_verdict))


async def enter(
    *,
    vad: VadModel | None = None,
    idle: float = 600.0,
    longest: float = 3600.0,
    unused: float = 600.0,
    tools: Sequence[Tool] = (),
    guidance: GuidanceConfig = NO_GUIDANCE,
    turns: TurnSettings | None = None,
    end_of_turn: EndOfTurnModel | None = None,
) -> ConversationHarness:
    """Start a conversation with one client attached."""
    engines: list[FakeEngine] = []

    def make_bridge(listener: EngineListener) -> GeminiBridge:
        engines.append(FakeEngine(listener))
        return cast(GeminiBridge, engines[0])

    frame_clock, peer = ManualFrameClock(), FakePeer()
    config = ConversationConfig(
        "id1",
        "label",
        "local",
        "local",
        None,
        "en",
        idle,
        longest,
        timed_transcript=True,
        turns=turns or TurnSettings(),
        unused_seconds=unused,
    )
    conversation = Conversation(
        config,
        vad=vad or vad_model(),
        frame_clock=frame_clock,
        toolbox=Toolbox(tools),
        make_bridge=make_bridge,
        guidance=guidance,
        end_of_turn=end_of_turn,
    )
    harness = ConversationHarness(conversation, engines[0], frame_clock, peer)
    conversation.attach(peer)
    harness.task = asyncio.create_task(conversation.run())
    await harness.settle()
    return harness


def speech() -> bytes:
    """A recorded person: "go forward ten meters", 16 kHz mono, with a second of silence around it."""
    with wave.open(str(DATA / "go-forward-ten-meters.wav")) as file:
        return bytes(32_000) + bytes(file.readframes(file.getnframes())) + bytes(32_000)


def picture(level: int = 128) -> ScreenFrame:
    """Make a grey frame."""
    half = np.full((36, 64), 128, np.uint8)
    return ScreenFrame(np.full((72, 128), level, np.uint8), half, half, full_range=True, arrived=0.0)


def turns_of(peer: FakePeer) -> Iterator[int]:
    """Yield every turn number the client was sent, in order."""
    for event in peer.events:
        turn = getattr(event, "turn", None)
        if isinstance(turn, int):
            yield turn
