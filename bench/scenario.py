"""The behaviour of one simulated user, without clock or socket: speaks, listens, and interrupts every other reply."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from bench.audio_fixture import VoicePackets
from bench.playback_gaps import FRAME, Arrival
from bench.rtp import AUDIO_CLOCK

SLOT = int(AUDIO_CLOCK * FRAME)
SILENT_AFTER = 0.3
"""Seconds without sound after which the assistant counts as silent."""

REPLY_TIMEOUT = 5.0
"""Seconds after an utterance in which its reply must begin."""


class TurnFailure(Enum):
    """Kinds of failed turns."""

    NO_REPLY = "no reply"
    UNEXPECTED = "sounded while the user spoke and no reply was due"
    NOT_CUT = "went on while the user spoke over it"


@dataclass(frozen=True, slots=True)
class Pattern:
    """The user interrupts every other reply after `barge_in` seconds, and pauses for `pause` after the others."""

    barge_in: float = 0.7
    pause: float = 0.8


@dataclass(slots=True)
class Turn:
    """One utterance and its reply; clock times in seconds, of sending a packet or of its arrival."""

    speech_start: float
    is_barge_in: bool
    speech_end: float | None = None
    """Time of sending the last packet of the utterance."""
    silent_at: float | None = None
    """Time at which the reply before fell silent: the arrival of its last loud packet plus its 20 ms."""
    arrivals: list[Arrival] = field(default_factory=list)
    origin: int | None = None
    """RTP time of the first packet of the reply."""
    first_loud: float | None = None
    last_loud: float | None = None
    is_interrupted: bool = False
    """Whether the user interrupts this reply."""
    ended_at: float | None = None
    """Time at which the turn was complete."""
    failure: TurnFailure | None = None

    @property
    def reply_latency(self) -> float | None:
        """Seconds from the last packet of speech to the first loud packet of the reply."""
        if self.speech_end is None or self.first_loud is None:
            return None
        return self.first_loud - self.speech_end

    @property
    def barge_in_latency(self) -> float | None:
        """Seconds from the first packet of speech until the reply before was silent, for a barge-in."""
        return None if self.silent_at is None else self.silent_at - self.speech_start


class _Activity(Enum):
    PAUSE = auto()
    SPEAK = auto()
    WAIT = auto()
    LISTEN = auto()


class Scenario:
    """Takes a tick every 20 ms and every received packet; `turns` are the turns so far, newest last."""

    def __init__(self, voice: VoicePackets, pattern: Pattern, *, seed: int):
        self.turns: list[Turn] = []
        self._voice = voice
        self._pattern = pattern
        self._random = random.Random(seed)
        self._activity = _Activity.PAUSE
        self._until: float | None = None
        self._sent_packets = 0
        self._quiet = seed % len(voice.quiet)
        self._replies = seed  # half of the sessions begin with a barge-in

    def tick(self, now: float) -> bytes:
        """Return the microphone's next packet."""
        match self._activity:
            case _Activity.PAUSE:
                # Sessions that began together drift apart.
                self._until = self._until or now + self._pattern.pause * self._random.uniform(0.5, 1.5)
                if now >= self._until:
                    return self._begin(now, is_barge_in=False)
            case _Activity.SPEAK:
                return self._speak(now)
            case _Activity.WAIT:
                self._wait(now)
            case _Activity.LISTEN:
                if self._listen(now):
                    return self._begin(now, is_barge_in=True)
        return self._next_quiet()

    def on_packet(self, now: float, timestamp: int, *, is_loud: bool) -> None:
        """Take a packet of the assistant's speech."""
        if not self.turns:
            return
        turn = self.turns[-1]
        if self._activity is _Activity.SPEAK:
            self._on_packet_while_speaking(turn, now, timestamp, is_loud=is_loud)
            return
        if self._activity is _Activity.WAIT and is_loud and turn.failure is None:
            turn.first_loud = now
            self._replies += 1
            turn.is_interrupted = self._replies % 2 == 1
            self._activity = _Activity.LISTEN
        if turn.first_loud is not None:
            _add(turn, now, timestamp, is_loud=is_loud)

    def _on_packet_while_speaking(self, turn: Turn, now: float, timestamp: int, *, is_loud: bool) -> None:
        if not turn.is_barge_in:
            if is_loud:
                turn.failure = TurnFailure.UNEXPECTED
            return
        before = self.turns[-2]
        _add(before, now, timestamp, is_loud=is_loud)
        if is_loud:
            turn.silent_at = now + FRAME

    def _begin(self, now: float, *, is_barge_in: bool) -> bytes:
        turn = Turn(now, is_barge_in)
        if is_barge_in:
            turn.silent_at = max(now, (self.turns[-1].last_loud or now) + FRAME)
        self.turns.append(turn)
        self._activity, self._until, self._sent_packets = _Activity.SPEAK, None, 0
        return self._speak(now)

    def _speak(self, now: float) -> bytes:
        packet = self._voice.speech[self._sent_packets]
        self._sent_packets += 1
        if self._sent_packets == len(self._voice.speech):
            turn = self.turns[-1]
            turn.speech_end = now
            self._activity = _Activity.WAIT
            if turn.is_barge_in:
                before = self.turns[-2]
                before.ended_at = now
                if turn.silent_at is not None and now - turn.silent_at < SILENT_AFTER:
                    turn.failure, turn.silent_at = TurnFailure.NOT_CUT, None
        return packet

    def _wait(self, now: float) -> None:
        turn = self.turns[-1]
        assert turn.speech_end is not None
        if turn.failure is not None:
            # The audio that still plays belongs to another turn: continue after it.
            self._end(turn, now, pause=REPLY_TIMEOUT)
        elif now - turn.speech_end > REPLY_TIMEOUT:
            turn.failure = TurnFailure.NO_REPLY
            self._end(turn, now)

    def _listen(self, now: float) -> bool:
        """Whether to interrupt the reply now."""
        turn = self.turns[-1]
        assert turn.first_loud is not None
        assert turn.last_loud is not None
        if turn.is_interrupted and now >= turn.first_loud + self._pattern.barge_in:
            return True
        if now - turn.last_loud > SILENT_AFTER:
            self._end(turn, now)
        return False

    def _end(self, turn: Turn, now: float, *, pause: float = 0.0) -> None:
        turn.ended_at = now
        self._activity = _Activity.PAUSE
        self._until = now + pause if pause else None

    def _next_quiet(self) -> bytes:
        self._quiet = (self._quiet + 1) % len(self._voice.quiet)
        return self._voice.quiet[self._quiet]


def _add(turn: Turn, now: float, timestamp: int, *, is_loud: bool) -> None:
    if is_loud:
        turn.last_loud = now
    if turn.origin is None:
        turn.origin = timestamp
    # RTP time is modulo 2**32, and a packet may overtake the first.
    since = (timestamp - turn.origin + (1 << 31)) % (1 << 32) - (1 << 31)
    turn.arrivals.append(Arrival(since // SLOT, now, is_loud))


def turns_within(turns: Sequence[Turn], *, since: float, until: float) -> list[Turn]:
    """Return the turns that began after `since`, as far as they had gone by `until`; call it at that moment."""
    return [turn for turn in turns if since <= turn.speech_start <= until]
