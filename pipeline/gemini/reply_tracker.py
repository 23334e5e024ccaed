"""Maps the engine's audio, text and calls to turns, and drops what belongs to cancelled replies."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.engine import (
    ReplyAudio,
    ReplyCancelled,
    ReplyEnded,
    ReplyEvent,
    ReplyGenerated,
    ReplyText,
    ToolCall,
    UserText,
)
from pipeline.errors import EngineError
from pipeline.events import Usage
from pipeline.media import AudioChunk

_EARLY_TEXT = 2_000  # characters


@dataclass(slots=True)
class _Reply:
    turn: int
    is_requested: bool = True  # False for a proactive turn
    has_begun: bool = False  # part of it has arrived
    is_generated: bool = False  # all of its speech has arrived
    seconds: float = 0.0
    tokens: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _CancelledReply:
    """A generation that was cancelled and that the engine has not closed yet."""

    has_begun: bool
    is_generated: bool = False
    is_past: bool = False  # nothing but its turnComplete can still arrive
    turn: int | None = None  # None if no event of it was passed on
    tokens: Counter[str] = field(default_factory=Counter)


class ReplyTracker:
    """Matches the engine's generations, which carry no numbers, with the user's turns.

    Every question opens one generation, and the engine closes each with turnComplete, in order. The next input of the
    user cancels the open one: its remains are dropped until it is closed, so they never count as the next reply.
    Methods return the events to pass on, in order. One object serves one connection.
    """

    def __init__(self, next_turn: Callable[[], int]):
        self._next_turn = next_turn
        self._cancelled: deque[_CancelledReply] = deque()
        self._closed: tuple[int, Counter[str]] | None = None  # the turn closed last, and its tokens
        self._reply: _Reply | None = None
        self._is_listening = False
        self._spoken_turn: int | None = None
        self._transcribed_turn: int | None = None
        self._early_text = ""

    @property
    def is_open(self) -> bool:
        """Whether a reply is expected or being generated."""
        return self._reply is not None

    @property
    def is_awaited(self) -> bool:
        """Whether the engine owes a reply, so that its silence is not a pause."""
        return self._reply is not None and not self._reply.is_generated

    @property
    def seconds(self) -> float:
        """Length of the open reply so far."""
        return 0.0 if self._reply is None else self._reply.seconds

    @property
    def is_partial(self) -> bool:
        """Whether part of a reply has arrived, and the rest has not."""
        return self._reply is not None and self._reply.has_begun and not self._reply.is_generated

    @property
    def open_turn(self) -> int | None:
        """The turn of the open utterance, or of the reply that is expected or being generated."""
        if self._is_listening:
            return self._spoken_turn
        return None if self._reply is None else self._reply.turn

    @property
    def is_idle(self) -> bool:
        """Whether neither side is speaking, so that nothing is lost if the connection closes now."""
        return not self._is_listening and self._reply is None

    # Input of the user.

    def user_started(self, turn: int) -> None:
        """Begin the user's utterance; output of the model is dropped until it ends."""
        self.cancel_reply()
        self._is_listening = True
        self._spoken_turn = turn

    def user_stopped(self) -> None:
        """End the user's utterance and expect a reply."""
        if not self._is_listening or self._spoken_turn is None:
            return
        self._is_listening = False
        self._reply = _Reply(self._spoken_turn)
        # An utterance takes far longer than the round trip to the engine, and its activityStart cancels the current
        # generation. So a generation that had sent nothing before, or was complete, sends nothing from here on: not
        # every server closes a generation that it had hardly begun.
        for cancelled in self._cancelled:
            cancelled.is_past = cancelled.is_past or cancelled.is_generated or not cancelled.has_begun

    def on_text_submitted(self, turn: int) -> None:
        """Expect a reply to a typed question."""
        self.cancel_reply()
        self._reply = _Reply(turn)

    def cancel_reply(self) -> None:
        """Drop everything that still arrives of the open reply."""
        self._early_text = ""
        if self._reply is not None:
            reply, self._reply = self._reply, None
            self._cancelled.append(
                _CancelledReply(reply.has_begun, reply.is_generated, turn=reply.turn, tokens=reply.tokens)
            )

    # Output of the engine.

    def on_interrupted(self) -> None:
        """Handle the engine's interrupted flag, which some engines send at any time."""
        if not self._cancelled and (self._reply is None or not self._reply.has_begun):
            # Not the new reply, which has not begun: the next turnComplete may close the one before it.
            self._cancelled.append(_CancelledReply(has_begun=False, is_past=True))

    def on_audio(self, pcm: bytes, rate: int) -> list[ReplyEvent]:
        """Handle a piece of speech: 16-bit mono PCM at `rate` Hz."""
        if not self._is_wanted():
            return []
        reply = self._reply or _Reply(self._next_turn(), is_requested=False)
        reply.has_begun = True
        self._reply = reply
        early = self._take_early_text(reply)
        chunk = AudioChunk(pcm, rate, reply.seconds)
        reply.seconds += chunk.duration
        return [*early, ReplyAudio(reply.turn, chunk)]

    def on_text(self, text: str) -> list[ReplyEvent]:
        """Handle a piece of the reply's text. Text alone opens no proactive turn: it may end a reply that is over."""
        if self._is_listening or not text:
            return []
        while self._cancelled and self._cancelled[0].is_past:
            self._charge(self._cancelled.popleft().tokens)
        if self._cancelled:
            return []
        if self._reply is None:
            self._early_text = (self._early_text + text)[-_EARLY_TEXT:]
            return []
        self._reply.has_begun = True
        return [ReplyText(self._reply.turn, text)]

    def on_user_text(self, text: str, confidence: float | None = None, *, is_final: bool = False) -> list[ReplyEvent]:
        """Handle a piece of the user's transcript, with the confidence of the whole if the engine sends one.

        The final piece may be empty.
        """
        if self._spoken_turn is None or not (text or is_final):
            return []
        is_anew, self._transcribed_turn = self._transcribed_turn != self._spoken_turn, self._spoken_turn
        return [UserText(self._spoken_turn, text, is_anew, confidence, is_final)]

    def on_tool_call(self, call_id: str, name: str, args: Mapping[str, object]) -> list[ReplyEvent]:
        """Handle a function call; returns nothing if it belongs to a cancelled reply."""
        if not self._is_wanted():
            return []
        if self._reply is None:
            # It takes a turn of its own, and opens no reply, as none need follow.
            return [ToolCall(self._next_turn(), call_id, name, args)]
        self._reply.has_begun = True
        return [ToolCall(self._reply.turn, call_id, name, args)]

    def on_generated(self) -> list[ReplyEvent]:
        """Note that all speech of the reply has arrived."""
        reply = self._reply if self._belongs_to_reply() else None
        if reply is None:
            if self._cancelled:
                self._cancelled[0].is_generated = True
            return []
        reply.is_generated = True
        return [ReplyGenerated(reply.turn)]

    def record_usage(self, tokens: Mapping[str, int]) -> list[ReplyEvent]:
        """Add token counts by kind to the generation that is closed next, or to the last one if none is open."""
        if self._cancelled:
            self._cancelled[0].tokens.update(tokens)
            return []
        return self._charge(tokens)

    def on_turn_complete(self, blocked: EngineError | None = None) -> list[ReplyEvent]:
        """Close the oldest open generation. A cancelled one yields only its usage."""
        if self._cancelled:
            cancelled = self._cancelled.popleft()
            if cancelled.turn is None:
                return self._charge(cancelled.tokens)
            self._closed = cancelled.turn, cancelled.tokens
            return [ReplyCancelled(cancelled.turn, Usage(dict(cancelled.tokens)))]
        if self._reply is None:
            return []
        reply, self._reply = self._reply, None
        self._closed = reply.turn, reply.tokens
        return [ReplyEnded(reply.turn, Usage(dict(reply.tokens)), blocked)]

    def on_connection_closed(self) -> list[ReplyEvent]:
        """Close a reply that has arrived completely, as nothing more can arrive."""
        if self._reply is None or not self._reply.is_generated:
            return []
        self._cancelled.clear()
        return self.on_turn_complete()

    def _charge(self, tokens: Mapping[str, int]) -> list[ReplyEvent]:
        """Add tokens to the open reply, or else to the one closed last."""
        if self._reply is not None:
            self._reply.tokens.update(tokens)
            return []
        if self._closed is None or not tokens:
            return []
        turn, usage = self._closed
        usage.update(tokens)
        return [ReplyCancelled(turn, Usage(dict(usage)))]

    def _is_wanted(self) -> bool:
        """Whether speech or a call that arrives now may pass; if not, it belongs to a generation still to be closed."""
        if self._belongs_to_reply():
            return True
        if not self._cancelled:
            self._cancelled.append(
                _CancelledReply(has_begun=True)
            )  # a proactive turn that crossed the start of the utterance
        self._cancelled[0].has_begun = True
        return False

    def _belongs_to_reply(self) -> bool:
        while self._cancelled and (self._cancelled[0].is_past or self._cancelled[0].is_generated):
            self._charge(
                self._cancelled.popleft().tokens
            )  # the engine will not close it, as another generation has begun
        return not self._cancelled and not self._is_listening

    def _take_early_text(self, reply: _Reply) -> list[ReplyEvent]:
        text, self._early_text = self._early_text, ""
        return [ReplyText(reply.turn, text)] if text else []
