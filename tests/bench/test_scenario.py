"""The behaviour of a simulated user, tick by tick, and the recorded turns."""

import pytest

from bench.audio_fixture import VoicePackets
from bench.playback_gaps import FRAME
from bench.scenario import REPLY_TIMEOUT, SILENT_AFTER, SLOT, Pattern, Scenario, Turn, TurnFailure, turns_within

VOICE = VoicePackets(
    tuple(b"speech%d" % place for place in range(50)), tuple(b"quiet%d" % place for place in range(10))
)
PATTERN = Pattern(barge_in=0.7, pause=0.5)


class Room:
    """A user and a scripted assistant, whose RTP time wraps during its first reply."""

    def __init__(self, *, seed: int = 0):
        self.user = Scenario(VOICE, PATTERN, seed=seed)
        self.ticks = 0
        self.sent: list[bytes] = []

    @property
    def now(self) -> float:
        return 100 + self.ticks * FRAME

    @property
    def turn(self) -> Turn:
        return self.user.turns[-1]

    def tick(self, *, loud: bool | None = None) -> None:
        self.sent.append(self.user.tick(self.now))
        if loud is not None:
            self.user.on_packet(self.now + 0.001, (self.ticks * SLOT - 150 * SLOT) % (1 << 32), is_loud=loud)
        self.ticks += 1

    def until_spoken(self) -> None:
        """Let the user begin, if need be, and finish an utterance."""
        turns = len(self.user.turns)
        while len(self.user.turns) == turns:
            self.tick()
        while self.turn.speech_end is None:
            self.tick()

    def reply(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick(loud=True)


def test_an_utterance_is_sent_whole_and_in_order() -> None:
    room = Room()
    room.until_spoken()
    spoken = [packet for packet in room.sent if packet.startswith(b"speech")]
    assert spoken == list(VOICE.speech)
    assert room.turn.speech_end == pytest.approx(room.turn.speech_start + 49 * FRAME)
    assert set(room.sent) - set(spoken) <= set(VOICE.quiet)


def test_a_reply_is_timed_from_the_end_of_speech() -> None:
    room = Room()
    room.until_spoken()
    for _ in range(30):
        room.tick(loud=False)
    room.tick(loud=True)
    assert room.turn.reply_latency == pytest.approx(31 * FRAME + 0.001)


def test_every_other_reply_is_heard_to_its_end() -> None:
    room = Room(seed=1)
    room.until_spoken()
    room.reply(100)
    while room.turn.ended_at is None:
        room.tick(loud=False)
    assert not room.turn.is_interrupted
    assert [arrival.slot for arrival in room.turn.arrivals[:100]] == list(range(100))
    assert room.turn.failure is None
    room.until_spoken()
    room.reply(10)
    assert room.turn.is_interrupted


def test_a_reply_is_cut_at_its_time_and_silence_is_timed_from_the_first_packet_of_speech() -> None:
    room = Room(seed=0)
    room.until_spoken()
    first = room.turn
    while len(room.user.turns) == 1:
        room.tick(loud=True)
    assert first.first_loud is not None
    assert room.turn.speech_start - first.first_loud == pytest.approx(0.7, abs=1.5 * FRAME)
    room.reply(10)
    room.tick(loud=False)
    while room.turn.speech_end is None:
        room.tick()
    # The packet that came in the tick of the first one of speech, ten more, and the 20 ms of the last.
    assert room.turn.barge_in_latency == pytest.approx(11 * FRAME + 0.001)
    assert first.ended_at == room.turn.speech_end
    assert (first.failure, room.turn.failure) == (None, None)


def test_a_reply_that_is_not_cut_is_told() -> None:
    room = Room(seed=0)
    room.until_spoken()
    while len(room.user.turns) == 1 or room.turn.speech_end is None:
        room.tick(loud=True)
    assert room.turn.failure is TurnFailure.NOT_CUT
    assert room.turn.barge_in_latency is None
    room.tick(loud=True)
    assert room.turn.ended_at is not None
    assert room.turn.reply_latency is None


def test_a_reply_that_falls_silent_only_just_before_the_user_is_not_known_to_be_cut() -> None:
    room = Room(seed=0)
    room.until_spoken()
    while len(room.user.turns) == 1:
        room.tick(loud=True)
    room.reply(len(VOICE.speech) - 1 - int(SILENT_AFTER / FRAME / 2))
    while room.turn.speech_end is None:
        room.tick()
    assert room.turn.failure is TurnFailure.NOT_CUT


def test_no_reply_is_told_and_the_next_turn_comes() -> None:
    room = Room()
    room.until_spoken()
    silent = room.turn
    room.until_spoken()
    assert silent.failure is TurnFailure.NO_REPLY
    assert silent.ended_at is not None
    assert silent.speech_end is not None
    assert silent.ended_at - silent.speech_end == pytest.approx(REPLY_TIMEOUT, abs=2 * FRAME)


def test_a_reply_that_comes_before_the_user_has_finished_is_told() -> None:
    room = Room()
    while not room.user.turns:
        room.tick()
    room.reply(5)
    while room.turn.speech_end is None:
        room.tick()
    room.tick()
    assert room.turn.failure is TurnFailure.UNEXPECTED
    assert room.turn.ended_at is not None


def test_a_gap_in_a_reply_longer_than_its_end_is_still_seen() -> None:
    room = Room(seed=1)
    room.until_spoken()
    room.reply(10)
    for _ in range(int(SILENT_AFTER / FRAME) + 3):
        room.tick()
    room.reply(1)
    assert room.turn.arrivals[-1].slot > 20


def test_only_turns_that_began_in_the_window_are_counted() -> None:
    turns = [Turn(float(second), is_barge_in=False) for second in range(5)]
    assert turns_within(turns, since=1.5, until=3.5) == turns[2:4]


def test_what_comes_before_the_first_utterance_is_ignored() -> None:
    room = Room()
    room.tick(loud=True)
    assert room.user.turns == []
