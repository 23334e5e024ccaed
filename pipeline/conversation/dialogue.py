"""Whose turn it is, what was said in it, and how much of that was heard."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from loguru import logger

from pipeline.engine import ReplyAudio, ReplyEnded, ReplyGenerated, ReplyText, UserText
from pipeline.errors import AudioError
from pipeline.events import (
    Event,
    Interrupted,
    Role,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    Usage,
)
from pipeline.media import SpeechFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.playout.playout_buffer import MOST_WAITING
from pipeline.playout.speech_player import PlayedReply, SpeechPlayer

ReplyEvent = UserText | ReplyAudio | ReplyText | ReplyGenerated | ReplyEnded
REMEMBERED_TURNS = 4
"""How far back a question may still be understood."""

NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(slots=True)
class _TurnState:
    """What the user asked last: its turn, when the question ended (monotonic s), and what is known of the reply."""

    turn: int
    ended_at: float | None = None
    latency_ms: dict[str, int] = field(default_factory=dict)
    usage: Usage | None = None  # set once the engine has nothing more to say


class Dialogue:
    """The one turn counter of a conversation, and the reply that is awaited or spoken.

    Numbers only grow. Whatever is said for a turn that is over is not heard. `tell` takes events, `play` and `flush`
    the voice; `changed` is called when a reply was heard to its end, `failed` with what breaks on the ticker.
    """

    def __init__(
        self,
        ticker: FrameClock,
        *,
        is_timed: bool,
        tell: Callable[[Event], None],
        play: Callable[[SpeechFrame], None],
        flush: Callable[[], None],
        changed: Callable[[], None],
        failed: Callable[[Exception], None],
    ):
        self.turn = 0
        """The newest turn."""
        self._is_timed = is_timed
        self._tell = tell
        self._play = play
        self._changed = changed
        self._speaker = SpeechPlayer(ticker, play=self._on_frame, flush=flush, over=self._on_heard, failed=failed)
        self._exchange: _TurnState | None = None
        self._user_text: dict[int, str] = {}
        self._answered: set[int] = set()
        self._deferred: deque[ReplyEvent] = deque()
        self._deferred_seconds = 0.0
        self._dead_turn = 0
        self._cut_turn = 0

    @property
    def is_audible(self) -> bool:
        """Whether the user may be hearing the assistant right now."""
        return self._speaker.is_audible

    @property
    def is_speaking(self) -> bool:
        """Whether a reply is being spoken."""
        return self._speaker.turn is not None

    @property
    def is_awaiting(self) -> bool:
        """Whether a reply is expected or being spoken."""
        return self._exchange is not None

    def is_over(self, turn: int) -> bool:
        """Whether this turn is over, so that nothing of it may be heard or shown any more."""
        return turn <= self._dead_turn

    def was_interrupted(self, turn: int) -> bool:
        """Whether this turn is over because something else took its place: nobody waits for what comes of it."""
        return turn <= self._cut_turn

    def awaits(self, turn: int) -> bool:
        """Whether it is this turn's reply that is expected."""
        return self._exchange is not None and self._exchange.turn == turn

    def next_turn(self) -> int:
        """Begin a turn."""
        self.turn += 1
        self._user_text.pop(self.turn - REMEMBERED_TURNS, None)
        self._answered.discard(self.turn - REMEMBERED_TURNS)
        return self.turn

    def ask(self, turn: int, ended_at: float) -> None:
        """The user's question of this turn was complete at `ended_at` (monotonic s): a reply is expected."""
        self._exchange = _TurnState(turn, ended_at)

    def client_played(self, turn: int, ms: int) -> None:
        """Believe the client about how much it has played, up to what it was given."""
        self._speaker.client_played(turn, ms)

    def on_engine_event(self, said: ReplyEvent) -> None:
        """Take what the engine says; raises `AudioError` if it says far too much."""
        if isinstance(said, UserText):
            self._take_user_text(said)
        elif self.is_over(said.turn):
            return
        elif self._is_remark_too_early(said.turn):
            self._defer(said)
        else:
            self._take_reply(said)

    def record_usage(self, turn: int, usage: Usage) -> None:
        """Take a newer count of what this turn has cost."""
        if self._exchange is not None and self._exchange.turn == turn and self._exchange.usage is not None:
            self._exchange.usage = usage

    def drop_proactive(self) -> None:
        """Say nothing of what has come that nobody asked for and was not heard yet."""
        self._deferred.clear()
        self._deferred_seconds = 0.0

    def close(self) -> None:
        """Nothing is said ever again."""
        self._speaker.release()

    def stop_playback(self, *, softly: bool) -> PlayedReply | None:
        """Fall silent at once; tells the reply that was cut, or None if none was spoken or expected."""
        heard = self._speaker.close(softly=softly)
        exchange, self._exchange = self._exchange, None
        self.drop_proactive()
        self._dead_turn = self._cut_turn = self.turn
        if heard is None and exchange is not None:
            heard = PlayedReply(exchange.turn, 0, "")
        return heard

    def interrupt(self, since: float | None = None) -> bool:
        """Fall silent because the user wants to be heard, by voice `since` (monotonic s); whether a reply was cut."""
        was_audible = self.is_audible
        heard = self.stop_playback(softly=True)
        if heard is None:
            return False
        latency_ms = {}
        if was_audible and since is not None:
            latency_ms["speech_start_to_silence"] = round((time.monotonic() - since) * 1000)
        self.report_interruption(heard, latency_ms)
        return True

    def report_interruption(self, heard: PlayedReply, latency_ms: Mapping[str, int] = NOTHING) -> None:
        """Say what was heard of a reply that `hush` has cut."""
        self._finish_user_text(heard.turn)
        self._tell(Interrupted(heard.turn, heard.ms, heard.text, latency_ms))
        if heard.text:
            self._tell(Transcript(heard.turn, Role.ASSISTANT, heard.text, final=True))
        self._tell(TextResponse(heard.turn, heard.text, None))
        logger.info("turn interrupted", turn=heard.turn, heard_ms=heard.ms, **latency_ms)

    def _is_remark_too_early(self, turn: int) -> bool:
        # What nobody asked for waits until the answer before it was heard, be it spoken already or only awaited.
        if self._speaker.turn is not None:
            return self._speaker.turn != turn
        return self._exchange is not None and self._exchange.turn < turn

    def _defer(self, said: ReplyEvent) -> None:
        if isinstance(said, ReplyAudio):
            self._deferred_seconds += said.chunk.duration
        if self._deferred_seconds > MOST_WAITING:
            raise AudioError(f"More than {MOST_WAITING:g} s of speech are waiting to be heard.", where="dialogue")
        self._deferred.append(said)

    def _take_user_text(self, said: UserText) -> None:
        before = "" if said.is_anew else self._user_text.get(said.turn, "")
        text = self._user_text[said.turn] = before + said.text
        # What is understood late, when the answer has begun, still belongs to the question.
        self._tell(Transcript(said.turn, Role.USER, text.strip(), final=said.turn in self._answered))

    def _take_reply(self, said: ReplyAudio | ReplyText | ReplyGenerated | ReplyEnded) -> None:
        match said:
            case ReplyAudio(turn, chunk):
                self._open_reply(turn)
                self._speaker.add_audio(turn, chunk)
            case ReplyText(turn, text):
                self._open_reply(turn)
                self._speaker.add_text(turn, text)
                self._tell(Transcript(turn, Role.ASSISTANT, self._speaker.text, final=False))
            case ReplyGenerated(turn):
                self._speaker.finish(turn)
            case ReplyEnded(turn, usage):
                self._end_reply(turn, usage)
            case _:
                assert_never(said)

    def _open_reply(self, turn: int) -> None:
        if self._speaker.turn == turn:
            return
        if not self.awaits(turn):
            self._exchange = _TurnState(turn)
        self._finish_user_text(turn)
        self._speaker.open(turn, timed=self._is_timed)
        self._tell(TurnStarted(turn))

    def _end_reply(self, turn: int, usage: Usage) -> None:
        if self._exchange is None or self._exchange.turn != turn:
            return
        self._exchange.usage = usage
        self._speaker.finish(turn)
        if self._speaker.turn is None or self._speaker.is_over:
            self._on_heard()

    def _on_frame(self, frame: SpeechFrame) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.ended_at is not None and not exchange.latency_ms:
            waited = time.monotonic() - exchange.ended_at
            exchange.latency_ms["speech_end_to_first_audio"] = max(0, round(waited * 1000))
        self._play(frame)

    def _on_heard(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.usage is None:
            return  # the engine has not closed the turn yet, and may have more to say
        self._exchange = None
        self._dead_turn = exchange.turn
        self._finish_user_text(exchange.turn)
        text = self._speaker.text
        heard = self._speaker.end() or PlayedReply(exchange.turn, 0, "")
        if text:
            self._tell(Transcript(exchange.turn, Role.ASSISTANT, text, final=True))
            self._tell(TextResponse(exchange.turn, text, None))
        self._tell(TurnEnded(exchange.turn, heard.ms, exchange.latency_ms, exchange.usage))
        logger.info("turn complete", turn=exchange.turn, heard_ms=heard.ms, **exchange.latency_ms)
        deferred, self._deferred = self._deferred, deque()
        self._deferred_seconds = 0.0
        for said in deferred:
            self.on_engine_event(said)
        self._changed()

    def _finish_user_text(self, turn: int) -> None:
        text = self._user_text.get(turn, "").strip()
        if text and turn not in self._answered:
            self._tell(Transcript(turn, Role.USER, text, final=True))
        self._answered.add(turn)
