"""The turns of a conversation: their numbers, the state of the current one, and how much of a reply was played."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, assert_never

from loguru import logger

from pipeline.conversation.backchannels import is_backchannel
from pipeline.conversation.interruption import RESUME_WITHIN, Interruption, Verdict
from pipeline.engine import NOT_UNDERSTOOD, ReplyAudio, ReplyEnded, ReplyGenerated, ReplyText, UserText
from pipeline.errors import AudioError, MediaError
from pipeline.events import (
    Event,
    Interrupted,
    Resumed,
    Role,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    Usage,
)
from pipeline.media import SPEECH_SAMPLE_RATE, SpeechFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.playout.playout_buffer import MAX_QUEUED_SECONDS
from pipeline.playout.speech_player import HeldReply, PlayedReply, SpeechOutput, SpeechPlayer

DialogueEvent = UserText | ReplyAudio | ReplyText | ReplyGenerated | ReplyEnded

MAX_TRANSCRIBED_TURNS = 4
"""Newest turns whose user transcript may still grow."""

NO_LATENCY: Mapping[str, int] = MappingProxyType({})


class DialogueListener(Protocol):
    """Receives the events of a dialogue. No method waits or raises."""

    def send_event(self, event: Event) -> None:
        """Send an event to peers and observers."""
        ...

    def on_reply_finished(self) -> None:
        """Handle a reply that was played to its end."""
        ...

    def on_floor_changed(self) -> None:
        """Handle that an answer which was held back begins to play."""
        ...

    def on_reply_resumed(self) -> None:
        """Handle that a reply is taken up again; the engine's answer to what cut it is not wanted."""
        ...

    def on_playout_error(self, error: Exception) -> None:
        """Handle an error of the playout."""
        ...


@dataclass(slots=True)
class _TurnState:
    """The newest question: its turn, when it was complete (monotonic s), and the measured values of its reply."""

    turn: int
    ended_at: float | None = None
    latency_ms: dict[str, int] = field(default_factory=dict)
    usage: Usage | None = None  # set once the engine has closed the reply


@dataclass(frozen=True, slots=True)
class _CutReply:
    """A reply that an utterance has cut, while it is not known whether that was meant."""

    reply: HeldReply
    current: _TurnState
    interruption: Interruption
    deadline: asyncio.TimerHandle


class Dialogue:
    """The one turn counter of a conversation, and the reply that is awaited or played.

    Turn numbers only grow. Speech for a turn that is over is dropped.
    """

    def __init__(
        self, frame_clock: FrameClock, output: SpeechOutput, listener: DialogueListener, *, timed_transcript: bool
    ):
        self.turn = 0
        """The newest turn."""
        self._timed_transcript = timed_transcript
        self._output = output
        self._send_audio = output.send_audio
        self._listener = listener
        self._player = SpeechPlayer(frame_clock, self)
        self._current: _TurnState | None = None
        self._user_text: dict[int, str] = {}
        self._user_confidence: dict[int, float | None] = {}
        self._final_user_turns: set[int] = set()
        self._deferred: deque[DialogueEvent] = deque()
        self._deferred_seconds = 0.0
        self._cut: _CutReply | None = None
        self._resumed_over = 0  # the turn of the utterance that was nothing
        self._last_ended = 0
        self._last_interrupted = 0

    @property
    def is_audible(self) -> bool:
        """Whether the user may be hearing the assistant right now."""
        return self._player.is_audible

    @property
    def is_speaking(self) -> bool:
        """Whether a reply is being played."""
        return self._player.turn is not None

    @property
    def is_awaiting(self) -> bool:
        """Whether a reply is expected or being played."""
        return self._current is not None

    def is_over(self, turn: int) -> bool:
        """Whether this turn is over, so that nothing of it may be played or shown any more."""
        return turn <= self._last_ended

    def was_interrupted(self, turn: int) -> bool:
        """Whether this turn was interrupted, so that results of its tool calls are not wanted."""
        return turn <= self._last_interrupted

    def awaits(self, turn: int) -> bool:
        """Whether the reply to this turn is the expected one."""
        return self._current is not None and self._current.turn == turn

    def next_turn(self) -> int:
        """Begin a turn and return its number."""
        self.turn += 1
        self._user_text.pop(self.turn - MAX_TRANSCRIBED_TURNS, None)
        self._user_confidence.pop(self.turn - MAX_TRANSCRIBED_TURNS, None)
        self._final_user_turns.discard(self.turn - MAX_TRANSCRIBED_TURNS)
        return self.turn

    def expect_reply(self, turn: int, ended_at: float) -> None:
        """Expect a reply to the question of this turn, which was complete at `ended_at` (monotonic s)."""
        self._current = _TurnState(turn, ended_at)

    def client_played(self, turn: int, ms: int) -> None:
        """Take the client's report of how much it has played, capped at what it was sent."""
        self._player.client_played(turn, ms)

    def on_engine_event(self, event: DialogueEvent) -> None:
        """Handle an event of a turn; raises `AudioError` if far too much speech is queued."""
        if isinstance(event, UserText):
            self._on_user_text(event)
        elif self.is_over(event.turn):
            return
        elif self._must_defer(event.turn):
            self._defer(event)
            self._note_ignored(event)
        else:
            self._on_reply_event(event)

    def record_usage(self, turn: int, usage: Usage) -> None:
        """Replace the usage of this turn by a newer count."""
        if self._current is not None and self._current.turn == turn and self._current.usage is not None:
            self._current.usage = usage

    def drop_proactive(self) -> None:
        """Drop the deferred events of proactive turns."""
        self._deferred.clear()
        self._deferred_seconds = 0.0

    def close(self) -> None:
        """Stop playback for good."""
        self._drop_cut()
        self._player.close()

    def start_utterance(self, since: float) -> int:
        """Begin the turn of a user who speaks since `since` (monotonic s), and return its number.

        It interrupts the reply. One that is audible is kept for 1.5 s: it goes on if the utterance was nothing.
        """
        held = self._player.hold() if self.is_audible else None
        current = self._current
        self.interrupt(since)
        turn = self.next_turn()
        if held is not None and current is not None:
            deadline = asyncio.get_running_loop().call_later(RESUME_WITHIN, self.confirm_interruption)
            self._cut = _CutReply(held, current, Interruption(turn), deadline)
        return turn

    def end_utterance(self, turn: int, ended_at: float, *, seconds: float) -> None:
        """Expect a reply to an utterance with `seconds` of speech, which was complete at `ended_at` (monotonic s)."""
        self.expect_reply(turn, ended_at)
        if self._cut is not None:
            self._cut.interruption.end(seconds)
            self._settle()

    def confirm_interruption(self) -> None:
        """Give up the reply that was cut, if it is still kept, and go on with what came after it."""
        if self._drop_cut():
            try:
                self._flush_deferred()
            except MediaError as error:
                self._listener.on_playout_error(error)
            self._listener.on_floor_changed()

    def on_tool_call(self, turn: int) -> None:
        """Note that the engine calls a function in this turn."""
        if self._cut is not None and turn >= self._cut.interruption.turn:
            self._cut.interruption.acted_on()
            self._settle()

    def duck(self, is_ducked: bool) -> None:
        """Lower the voice while somebody may have begun to speak."""
        self._player.duck(is_ducked)

    def stop_playback(self, *, fades: bool) -> PlayedReply | None:
        """Stop at once; returns the interrupted reply, or None if none was played or expected."""
        played = self._player.stop(fades=fades)
        current, self._current = self._current, None
        self._drop_cut()
        self.drop_proactive()
        self._last_ended = self._last_interrupted = self.turn
        if played is None and current is not None:
            played = PlayedReply(current.turn, 0, "")
        return played

    def interrupt(self, since: float | None = None) -> bool:
        """Stop the reply at once (barge-in): the user speaks since `since` (monotonic s). True if there was one.

        Does not inform the engine: an utterance does that by itself, and `Conversation` does it for other commands.
        """
        was_audible = self.is_audible
        played = self.stop_playback(fades=True)
        if played is None:
            return False
        latency_ms = {}
        if was_audible and since is not None:
            latency_ms["speech_start_to_silence"] = round((time.monotonic() - since) * 1000)
        self.report_interruption(played, latency_ms)
        return True

    def report_interruption(self, played: PlayedReply, latency_ms: Mapping[str, int] = NO_LATENCY) -> None:
        """Send the events of a reply that `stop_playback` has interrupted."""
        self._finish_user_text(played.turn)
        self._listener.send_event(Interrupted(played.turn, played.ms, played.text, latency_ms))
        if played.text:
            self._listener.send_event(Transcript(played.turn, Role.ASSISTANT, played.text, final=True))
        self._listener.send_event(TextResponse(played.turn, played.text, None))
        logger.info("turn interrupted", turn=played.turn, heard_ms=played.ms, **latency_ms)

    # SpeechPlayerListener.

    def on_speech_frame(self, frame: SpeechFrame) -> None:
        """Send a frame, and measure the latency of the first one."""
        current = self._current
        if current is not None and current.ended_at is not None and not current.latency_ms:
            waited = time.monotonic() - current.ended_at
            current.latency_ms["speech_end_to_first_audio"] = max(0, round(waited * 1000))
        self._send_audio(frame)

    def on_speech_flushed(self) -> None:
        """Drop the frames that have not been sent yet."""
        self._output.flush_audio()

    def on_speech_finished(self) -> None:
        """End the turn, unless the engine has not closed it yet and may send more."""
        current = self._current
        if current is None or current.usage is None:
            return
        self._current = None
        self._last_ended = max(self._last_ended, current.turn)
        self._finish_user_text(current.turn)
        text = self._player.text
        played = self._player.end() or PlayedReply(current.turn, 0, "")
        if text:
            self._listener.send_event(Transcript(current.turn, Role.ASSISTANT, text, final=True))
            self._listener.send_event(TextResponse(current.turn, text, None))
        self._listener.send_event(TurnEnded(current.turn, played.ms, current.latency_ms, current.usage))
        logger.info("turn complete", turn=current.turn, heard_ms=played.ms, **current.latency_ms)
        self._flush_deferred()
        self._listener.on_reply_finished()

    def on_playout_error(self, error: Exception) -> None:
        """Pass the error on."""
        self._listener.on_playout_error(error)

    def _must_defer(self, turn: int) -> bool:
        # A proactive turn waits until the reply before it was played, whether that is playing or still expected.
        if self._cut is not None:
            return turn >= self._cut.interruption.turn
        if self._player.turn is not None:
            return self._player.turn != turn
        return self._current is not None and self._current.turn < turn

    def _defer(self, event: DialogueEvent) -> None:
        if isinstance(event, ReplyAudio):
            self._deferred_seconds += event.chunk.duration
        if self._deferred_seconds > MAX_QUEUED_SECONDS:
            raise AudioError(f"More than {MAX_QUEUED_SECONDS:g} s of speech are queued.", where="dialogue")
        self._deferred.append(event)

    def _flush_deferred(self) -> None:
        deferred, self._deferred = self._deferred, deque()
        self._deferred_seconds = 0.0
        for event in deferred:
            self.on_engine_event(event)

    def _note_ignored(self, event: DialogueEvent) -> None:
        if self._cut is None or not isinstance(event, ReplyEnded) or event.turn != self._cut.interruption.turn:
            return
        if not any(isinstance(other, ReplyAudio | ReplyText) for other in self._deferred if other.turn == event.turn):
            self._cut.interruption.ignored()
            self._settle()

    def _settle(self) -> None:
        """Act on the verdict on the interruption, if there is one."""
        match None if self._cut is None else self._cut.interruption.verdict:
            case Verdict.REAL:
                self.confirm_interruption()
            case Verdict.NOTHING:
                self._resume()

    def _drop_cut(self) -> bool:
        cut, self._cut = self._cut, None
        if cut is not None:
            cut.deadline.cancel()
        return cut is not None

    def _resume(self) -> None:
        cut = self._cut
        assert cut is not None
        self._drop_cut()
        self.drop_proactive()
        # What still arrives of the utterance's own turn is unwanted; the engine has closed the one that goes on.
        self._resumed_over = self._last_ended = self._last_interrupted = cut.interruption.turn
        self._finish_user_text(cut.interruption.turn)
        self._current = cut.current
        self._current.usage = self._current.usage or Usage()
        self._player.resume(cut.reply)
        speech = cut.reply.speech
        self._listener.send_event(Resumed(speech.turn, speech.played_samples * 1000 // SPEECH_SAMPLE_RATE))
        self._listener.send_event(Transcript(speech.turn, Role.ASSISTANT, self._player.text, final=False))
        logger.info("turn resumed", turn=speech.turn)
        self._listener.on_reply_resumed()

    def _judge_words(self, event: UserText) -> None:
        if self._cut is not None and event.turn >= self._cut.interruption.turn:
            words = "" if event.text == NOT_UNDERSTOOD else event.text
            self._cut.interruption.add_words(words, is_final=event.is_final)
            self._settle()
        elif event.turn == self._resumed_over and self.is_speaking and self._has_meaning(event.turn):
            self.interrupt()  # the rest of the transcript came late: it was meant after all

    def _has_meaning(self, turn: int) -> bool:
        words = self._user_text[turn]
        return words != NOT_UNDERSTOOD and not is_backchannel(words)

    def _on_user_text(self, event: UserText) -> None:
        before = "" if event.is_restart else self._user_text.get(event.turn, "")
        text = self._user_text[event.turn] = before + event.text
        self._user_confidence[event.turn] = event.confidence
        # Text that arrives after the reply has begun still belongs to the question.
        is_final = event.turn in self._final_user_turns
        if text.strip():
            self._send_user_text(event.turn, text.strip(), final=is_final)
        self._judge_words(event)

    def _on_reply_event(self, event: ReplyAudio | ReplyText | ReplyGenerated | ReplyEnded) -> None:
        match event:
            case ReplyAudio(turn, chunk):
                self._open_reply(turn)
                self._player.add_audio(turn, chunk)
            case ReplyText(turn, text):
                self._open_reply(turn)
                self._player.add_text(turn, text)
                self._listener.send_event(Transcript(turn, Role.ASSISTANT, self._player.text, final=False))
            case ReplyGenerated(turn):
                self._player.finish(turn)
            case ReplyEnded(turn, usage):
                self._end_reply(turn, usage)
            case _:
                assert_never(event)

    def _open_reply(self, turn: int) -> None:
        if self._player.turn == turn:
            return
        if not self.awaits(turn):
            self._current = _TurnState(turn)
        self._finish_user_text(turn)
        self._player.open(turn, timed=self._timed_transcript)
        self._listener.send_event(TurnStarted(turn))

    def _end_reply(self, turn: int, usage: Usage) -> None:
        if self._current is None or self._current.turn != turn:
            return
        self._current.usage = usage
        self._player.finish(turn)
        if self._player.turn is None or self._player.is_finished:
            self.on_speech_finished()

    def _finish_user_text(self, turn: int) -> None:
        text = self._user_text.get(turn, "").strip()
        if text and turn not in self._final_user_turns:
            self._send_user_text(turn, text, final=True)
        self._final_user_turns.add(turn)

    def _send_user_text(self, turn: int, text: str, *, final: bool) -> None:
        self._listener.send_event(
            Transcript(turn, Role.USER, text, final=final, confidence=self._user_confidence.get(turn))
        )
