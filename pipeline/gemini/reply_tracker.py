"""Which turn each thing the engine says belongs to, and whether it may still be heard."""

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
    is_requested: bool = True  # False for a remark
    has_begun: bool = False  # something of it has arrived
    is_generated: bool = False  # all of its voice has arrived
    seconds: float = 0.0
    tokens: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _CancelledReply:
    """A generation that must not be heard any more, and that the engine has not closed yet."""

    has_begun: bool
    is_generated: bool = False
    is_past: bool = False  # nothing of it can arrive any more, but for the word that it is closed
    turn: int | None = None  # None for what was never told
    tokens: Counter[str] = field(default_factory=Counter)


class ReplyTracker:
    """Counts the engine's generations, which carry no numbers, against the user's turns.

    Every question opens one generation, and the engine closes each with turnComplete, in order. Whatever the user does
    next kills the open one: its remains are dropped until it is closed, so they are never taken for the next reply.
    Methods return what is to be told, in order. One object serves one connection.
    """

    def __init__(self, next_turn: Callable[[], int]):
        self._next_turn = next_turn
        self._cancelled: deque[_CancelledReply] = deque()
        self._closed: tuple[int, Counter[str]] | None = None  # the turn told last, and what it has cost
        self._reply: _Reply | None = None
        self._is_listening = False
        self._spoken_turn: int | None = None
        self._transcribed_turn: int | None = None
        self._early_text = ""

    @property
    def is_open(self) -> bool:
        """Whether a reply is expected or being made."""
        return self._reply is not None

    @property
    def is_awaited(self) -> bool:
        """Whether the engine owes the user something: a silence from it now is no pause."""
        return self._reply is not None and not self._reply.is_generated

    @property
    def seconds(self) -> float:
        """How long the open reply is so far."""
        return 0.0 if self._reply is None else self._reply.seconds

    @property
    def is_partial(self) -> bool:
        """Whether some of a reply has arrived, and the rest has not."""
        return self._reply is not None and self._reply.has_begun and not self._reply.is_generated

    @property
    def open_turn(self) -> int | None:
        """The turn the user is speaking, or whose reply is expected or being made."""
        if self._is_listening:
            return self._spoken_turn
        return None if self._reply is None else self._reply.turn

    @property
    def is_idle(self) -> bool:
        """Whether nobody is saying anything, so that nothing is lost if the connection ends here."""
        return not self._is_listening and self._reply is None

    # What the user does.

    def user_started(self, turn: int) -> None:
        """The user begins to speak: nothing of the model is passed on until they have finished."""
        self.cancel_reply()
        self._is_listening = True
        self._spoken_turn = turn

    def user_stopped(self) -> None:
        """The user has finished speaking and expects a reply."""
        if not self._is_listening or self._spoken_turn is None:
            return
        self._is_listening = False
        self._reply = _Reply(self._spoken_turn)
        # Saying something takes far longer than the way to the engine and back, and its first sign (activityStart)
        # cancels whatever was being made. So what had sent nothing before, or had been made completely, sends nothing
        # from here on: not every server closes a generation that it had hardly begun.
        for dead in self._cancelled:
            dead.is_past = dead.is_past or dead.is_generated or not dead.has_begun

    def on_text_submitted(self, turn: int) -> None:
        """The user has asked in writing and expects a reply."""
        self.cancel_reply()
        self._reply = _Reply(turn)

    def cancel_reply(self) -> None:
        """Let nothing more of the open reply through."""
        self._early_text = ""
        if self._reply is not None:
            reply, self._reply = self._reply, None
            self._cancelled.append(
                _CancelledReply(reply.has_begun, reply.is_generated, turn=reply.turn, tokens=reply.tokens)
            )

    # What the engine does.

    def on_interrupted(self) -> None:
        """The engine says that it was interrupted; some say so at any time."""
        if not self._cancelled and (self._reply is None or not self._reply.has_begun):
            # Not the new reply, of which there is nothing yet: the next turnComplete may close what was before it.
            self._cancelled.append(_CancelledReply(has_begun=False, is_past=True))

    def on_audio(self, pcm: bytes, rate: int) -> list[ReplyEvent]:
        """A piece of voice: 16-bit mono PCM at `rate` Hz."""
        if not self._is_wanted():
            return []
        reply = self._reply or _Reply(self._next_turn(), is_requested=False)
        reply.has_begun = True
        self._reply = reply
        told = self._take_early_text(reply)
        chunk = AudioChunk(pcm, rate, reply.seconds)
        reply.seconds += chunk.duration
        return [*told, ReplyAudio(reply.turn, chunk)]

    def on_text(self, text: str) -> list[ReplyEvent]:
        """A piece of what the voice says. Text alone begins no remark: it may be the tail of a reply that is over."""
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

    def on_user_text(self, text: str) -> list[ReplyEvent]:
        """A piece of what the user was understood to say."""
        if self._spoken_turn is None or not text:
            return []
        is_anew, self._transcribed_turn = self._transcribed_turn != self._spoken_turn, self._spoken_turn
        return [UserText(self._spoken_turn, text, is_anew)]

    def on_tool_call(self, call_id: str, name: str, args: Mapping[str, object]) -> list[ReplyEvent]:
        """A function call; nothing is returned if it belongs to a dead turn."""
        if not self._is_wanted():
            return []
        if self._reply is None:
            # It takes a number of its own, and opens no reply: one need not follow.
            return [ToolCall(self._next_turn(), call_id, name, args)]
        self._reply.has_begun = True
        return [ToolCall(self._reply.turn, call_id, name, args)]

    def on_generated(self) -> list[ReplyEvent]:
        """All of the voice has been sent."""
        reply = self._reply if self._belongs_to_reply() else None
        if reply is None:
            if self._cancelled:
                self._cancelled[0].is_generated = True
            return []
        reply.is_generated = True
        return [ReplyGenerated(reply.turn)]

    def record_usage(self, tokens: Mapping[str, int]) -> list[ReplyEvent]:
        """Tokens by kind, on top of those before, of the generation that is closed next, or of the last if none is."""
        if self._cancelled:
            self._cancelled[0].tokens.update(tokens)
            return []
        return self._charge(tokens)

    def on_turn_complete(self, blocked: EngineError | None = None) -> list[ReplyEvent]:
        """The engine closes a generation: the oldest that is open. Of a dead one only that is told."""
        if self._cancelled:
            dead = self._cancelled.popleft()
            if dead.turn is None:
                return self._charge(dead.tokens)
            self._closed = dead.turn, dead.tokens
            return [ReplyCancelled(dead.turn, Usage(dict(dead.tokens)))]
        if self._reply is None:
            return []
        reply, self._reply = self._reply, None
        self._closed = reply.turn, reply.tokens
        return [ReplyEnded(reply.turn, Usage(dict(reply.tokens)), blocked)]

    def on_connection_closed(self) -> list[ReplyEvent]:
        """Nothing more can come: a reply that has arrived whole is closed."""
        if self._reply is None or not self._reply.is_generated:
            return []
        self._cancelled.clear()
        return self.on_turn_complete()

    def _charge(self, tokens: Mapping[str, int]) -> list[ReplyEvent]:
        """Tokens that are nobody else's: they count for the open reply, or else for the one closed last."""
        if self._reply is not None:
            self._reply.tokens.update(tokens)
            return []
        if self._closed is None or not tokens:
            return []
        turn, spent = self._closed
        spent.update(tokens)
        return [ReplyCancelled(turn, Usage(dict(spent)))]

    def _is_wanted(self) -> bool:
        """Whether voice or a call arriving now may be passed on; if not, it is of a generation that must be closed."""
        if self._belongs_to_reply():
            return True
        if not self._cancelled:
            self._cancelled.append(_CancelledReply(has_begun=True))  # a remark that crossed the user's first words
        self._cancelled[0].has_begun = True
        return False

    def _belongs_to_reply(self) -> bool:
        while self._cancelled and (self._cancelled[0].is_past or self._cancelled[0].is_generated):
            self._charge(self._cancelled.popleft().tokens)  # never to be closed, since something else has begun
        return not self._cancelled and not self._is_listening

    def _take_early_text(self, reply: _Reply) -> list[ReplyEvent]:
        text, self._early_text = self._early_text, ""
        return [ReplyText(reply.turn, text)] if text else []
