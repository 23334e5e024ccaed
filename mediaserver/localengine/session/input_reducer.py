"""Client messages reduced to questions and interruptions, without clock or socket."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from mediaserver.localengine.protocol.codec import INVALID, INVALID_ARGUMENT, WireError
from mediaserver.localengine.protocol.messages import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioStreamEnd,
    ClientContent,
    ContentTurn,
    ContextUpdate,
    ImageInput,
    Input,
    RealtimeInput,
    Setup,
    TextInput,
)
from mediaserver.localengine.protocol.model_rules import takes_content
from mediaserver.localengine.responder.interface import Question
from mediaserver.localengine.session.audio_input import AudioInputStream, Detector
from mediaserver.localengine.session.context import Context
from mediaserver.localengine.session.pause_detector import PauseDetector, PauseEnded, PauseStarted
from pipeline.audio.pause_rule import Pause
from pipeline.audio.turn_detector import TurnSignal
from pipeline.events import SpeechEnded, SpeechStarted
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, AudioChunk

LONGEST_WINDOW = 120.0
"""Seconds kept of one spoken window, the newest."""

SCREEN_SHARE_ENDED = "[The screen is no longer shared.]"
"""A client's note that the screen share has ended. Gemini reads it as text; here it clears the screen."""

_MAX_WINDOW_BYTES = int(LONGEST_WINDOW * INPUT_SAMPLE_RATE) * SAMPLE_BYTES
_PRECONDITION = "Precondition check failed."


@dataclass(frozen=True, slots=True)
class StopReply:
    """Interrupts the running answer."""


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The user pauses and may have finished; `audio` is what was said so far, as `Question.audio`."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The user has gone on after a pause."""


Action = StopReply | SpeechPaused | SpeechResumed | Question


class InputReducer:
    """Applies client input to `context`.

    `detector` is None when the client marks its own activity; without `pauses`, pauses go unnoticed.
    """

    def __init__(
        self,
        setup: Setup,
        detector: Detector | None,
        context: Context,
        *,
        pauses: PauseDetector | None = None,
        is_resumed: bool = False,
    ):
        self.functions = setup.functions
        self._instructions = setup.instructions
        self._context = context
        # A resumed session must not be seeded: its history would be duplicated.
        self._is_seeding = setup.seeds_history and not is_resumed
        self._takes_content = takes_content(setup.model)
        self._may_interrupt = setup.may_interrupt
        self._detector = detector
        self._audio = AudioInputStream()
        self._window: bytearray | None = None
        self._window_text: str | None = None
        self._pauses = pauses
        self._speech_bytes: int | None = None  # of the window, up to the present pause

    @property
    def is_listening(self) -> bool:
        """Whether the user is speaking."""
        return self._window is not None

    def push(
        self, message: Setup | RealtimeInput | ClientContent | ContextUpdate, *, audible: bool
    ) -> Iterator[Action]:
        """Apply one message and yield its consequences; raises `WireError` if it is not allowed now."""
        match message:
            case RealtimeInput() if self._is_seeding:
                raise WireError(INVALID, f"{INVALID_ARGUMENT} The initial history must be complete first.")
            case RealtimeInput(items):
                for item in items:
                    yield from self._on_turn_signal(item, audible=audible)
            case ClientContent() if self._is_seeding:
                self._seed(message)
            case ClientContent() if not self._takes_content:
                raise WireError(INVALID, f"{INVALID_ARGUMENT} This model takes client content as history only.")
            case ClientContent():
                yield from self._append(message)
            case ContextUpdate(functions):
                self.functions = self.functions if functions is None else functions
            case Setup():
                raise WireError(INVALID, f"{INVALID_ARGUMENT} Setup must be the first message and only the first.")
            case _:
                assert_never(message)

    def _on_turn_signal(self, item: Input, *, audible: bool) -> Iterator[Action]:
        match item:
            case Audio():
                yield from self._on_audio(item, audible=audible)
            case ImageInput(data):
                # Faster video than Google's one frame per second is accepted: only the newest frame counts.
                self._context.screen = data
            case TextInput(text):
                yield from self._read(text)
            case ActivityStart() | ActivityEnd() if self._detector is not None:
                raise WireError(INVALID, _PRECONDITION)
            case ActivityStart():
                self._audio = AudioInputStream()
                yield from self._open()
            case ActivityEnd():
                yield from self._close()
            case AudioStreamEnd():
                yield from self._end_stream()
            case _:
                assert_never(item)

    def _on_audio(self, audio: Audio, *, audible: bool) -> Iterator[Action]:
        if self._detector is None and self._window is None:
            return  # Google's server drops audio before activityStart.
        for chunk in self._audio.push(audio):
            if self._detector is None:
                yield from self._keep(chunk)
            else:
                yield from self._on_detection(self._detector.push(chunk, audible=audible))

    def _on_detection(self, signals: Iterator[TurnSignal]) -> Iterator[Action]:
        for event in signals:
            match event:
                case SpeechStarted():
                    yield from self._open()
                case AudioChunk():
                    yield from self._keep(event)
                case SpeechEnded():
                    yield from self._close()
                case Pause():
                    pass  # silence alone ends a turn here, as Gemini's silenceDurationMs does
                case _:
                    assert_never(event)

    def _open(self) -> Iterator[StopReply]:
        if self._window is None:
            self._window = bytearray()
            self._window_text = None
            self._speech_bytes = None
            if self._pauses is not None:
                self._pauses.reset()
            yield from self._interruption()

    def _keep(self, chunk: AudioChunk) -> Iterator[SpeechPaused | SpeechResumed]:
        if self._window is None:
            return
        self._window += chunk.pcm
        for boundary in self._pauses.push(chunk) if self._pauses is not None else ():
            match boundary:
                case PauseStarted(position):
                    self._speech_bytes = position
                    yield SpeechPaused(bytes(self._window[:position]))
                case PauseEnded():
                    self._speech_bytes = None
                    yield SpeechResumed()
                case _:
                    assert_never(boundary)
        if len(self._window) > _MAX_WINDOW_BYTES:
            del self._window[:-_MAX_WINDOW_BYTES]
            self._pauses = self._speech_bytes = None  # positions count from the start, which is lost

    def _close(self) -> Iterator[StopReply | Question]:
        if self._window is not None:
            question = self._question(bytes(self._window), self._window_text, self._speech_bytes)
            self._window = None
            yield from self._interruption()
            yield question

    def _end_stream(self) -> Iterator[Action]:
        if self._detector is None:
            raise WireError(INVALID, INVALID_ARGUMENT)
        yield from self._on_detection(self._detector.flush())
        self._audio = AudioInputStream()

    def _read(self, text: str) -> Iterator[StopReply | Question]:
        if self._detector is not None or self._window is None:
            yield from self._interruption()
            yield self._question(b"", text)
        elif not self._window:
            # Google's server closes too: a window must open with audio.
            raise WireError(INVALID, INVALID_ARGUMENT)
        else:
            self._window_text = (self._window_text or "") + text

    def _append(self, content: ClientContent) -> Iterator[StopReply | Question]:
        yield StopReply()
        for turn in content.turns:
            self._read_turn(turn)
            if turn.role == "user" and turn.text and turn.text != SCREEN_SHARE_ENDED:
                self._context.appended = turn.text
        if content.is_complete:
            text, self._context.appended = self._context.appended, ""
            yield Question(b"", text, self._context.screen, self.functions, self._instructions)

    def _seed(self, content: ClientContent) -> None:
        for turn in content.turns:
            self._read_turn(turn)
        self._is_seeding = not content.is_complete

    def _read_turn(self, turn: ContentTurn) -> None:
        if turn.text == SCREEN_SHARE_ENDED:
            self._context.screen = None
        else:
            self._context.memory.append("model" if turn.role == "model" else "user", turn.text)
        if turn.picture is not None:
            self._context.screen = turn.picture

    def _question(self, audio: bytes, text: str | None, speech_bytes: int | None = None) -> Question:
        self._context.memory.append("user", text or "")
        context = self._context
        return Question(audio, text, context.screen, self.functions, self._instructions, speech_bytes=speech_bytes)

    def _interruption(self) -> Iterator[StopReply]:
        if self._may_interrupt:
            yield StopReply()
