"""An hour of conversation whose engine ends every session after a few seconds; time is virtual."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from pipeline.conversation.config import ConversationConfig
from pipeline.conversation.conversation import Conversation
from pipeline.engine import EngineConfig
from pipeline.events import EndReason, Event, Fault, Interrupted, Role, TextInput, TextResponse, Transcript
from pipeline.gemini import transcript_memory as recollection
from pipeline.gemini.bridge import GeminiBridge
from pipeline.media import AudioChunk, SpeechFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.tools.toolbox import Toolbox
from tests.support.conversation_harness import FakePeer, speech, vad_model
from tests.support.simulated_gemini import Habits, SimulatedGemini
from tests.support.virtual_time import run_fast

pytestmark = pytest.mark.one_python

FRAME = 0.02
CONFIG = EngineConfig("gemini-3.8-live", "Kore", "en", "Be brief.", "medium")


@dataclass
class Listener(FakePeer):
    """A client that notes when each frame of a reply came."""

    played: dict[int, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:
        return id(self)

    def send_audio(self, frame: SpeechFrame) -> None:
        self.played.setdefault(frame.turn, []).append(asyncio.get_running_loop().time())


class Overheard(GeminiBridge):
    """The bridge, and what the conversation gave it to carry: the truth about what the user said."""

    gemini: SimulatedGemini
    said: dict[int, str]
    spoken: bytearray
    speaking: int | None

    @classmethod
    def beside(cls, gemini: SimulatedGemini, tell: object, next_turn: object) -> "Overheard":
        bridge = cls(gemini, CONFIG, tell=tell, next_turn=next_turn, jitter=gemini.chance.random)  # type: ignore[arg-type]
        bridge.gemini, bridge.said, bridge.spoken, bridge.speaking = gemini, {}, bytearray(), None
        return bridge

    def start_utterance(self, turn: int) -> None:
        self.speaking, self.spoken = turn, bytearray()
        super().start_utterance(turn)

    def push_audio(self, chunk: AudioChunk) -> None:
        self.spoken += chunk.pcm
        super().push_audio(chunk)

    def end_utterance(self) -> None:
        assert self.speaking is not None
        words = f"spoken-{self.speaking}"
        self.said[self.speaking] = words
        self.gemini.words[bytes(self.spoken)] = words
        super().end_utterance()

    def submit_text(self, turn: int, text: str) -> None:
        self.said[turn] = text
        super().submit_text(turn, text)


@dataclass
class Talk:
    """What became of a conversation."""

    gemini: SimulatedGemini
    bridge: Overheard
    peer: Listener

    def events(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.peer.events if isinstance(event, kind)]


async def talk(seed: int, *, minutes: float, habits: Habits) -> Talk:
    chance = random.Random(seed)
    gemini = SimulatedGemini(chance, habits)
    bridges: list[Overheard] = []

    def make_bridge(tell: object, next_turn: object) -> GeminiBridge:
        bridges.append(Overheard.beside(gemini, tell, next_turn))
        return bridges[0]

    peer = Listener()
    terms = ConversationConfig("id1", "label", "gemini", CONFIG.model, None, "en", 600.0, 2 * 3600.0)
    conversation = Conversation(terms, vad=vad_model(), ticker=FrameClock(), toolbox=Toolbox(), make_bridge=make_bridge)
    conversation.attach(peer)
    running = asyncio.create_task(conversation.run())
    noise = np.random.default_rng(seed)
    recording = np.frombuffer(speech(), "<i2")
    end = asyncio.get_running_loop().time() + minutes * 60
    pts, asked = 0.0, 0

    async def say(pcm: np.ndarray) -> None:
        nonlocal pts
        # No two utterances sound alike to the last bit.
        pcm = (pcm + noise.integers(-3, 4, len(pcm))).clip(-32768, 32767).astype("<i2")
        for start in range(0, len(pcm), 320):
            conversation.push_audio(peer, AudioChunk(pcm[start : start + 320].tobytes(), 16_000, pts))
            pts += FRAME
            await asyncio.sleep(FRAME)

    while asyncio.get_running_loop().time() < end:
        if chance.random() < 0.5:
            await say(recording)
        else:
            asked += 1
            conversation.submit(peer, TextInput(f"typed-{asked}"))
        # Sometimes the user waits for the whole answer, and sometimes for none of it.
        await asyncio.sleep(chance.choice([0.5, 2.0, 6.0, 12.0]))
    # What the engine is to be told of the past goes with the next question.
    gemini.habits = replace(habits, crashes=0.0, refusals=0.0, age=(100.0, 100.0))
    await asyncio.sleep(30.0)
    conversation.submit(peer, TextInput("goodbye"))
    await asyncio.sleep(30.0)
    conversation.end(EndReason.CLIENT)
    assert await running is EndReason.CLIENT
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left
    return Talk(gemini, bridges[0], peer)


def known(talk: Talk) -> Counter[str]:
    """How often the engine knows each thing that the user said, in whatever way it came to know it."""
    counts = Counter[str]()
    for kind, what in talk.gemini.last.lines:
        if kind == "audio":
            counts[talk.gemini.understands(what)] += 1
        elif kind == "text":
            counts[what] += 1
        elif kind == "told":
            for line in str(what).removesuffix("]").splitlines():
                words = line.removeprefix("User: ")
                if words in talk.bridge.said.values():
                    counts[words] += 1
    return counts


def assert_no_word_is_lost_or_said_twice(talk: Talk) -> None:
    assert known(talk) == Counter(talk.bridge.said.values())


def assert_the_transcript_is_whole(talk: Talk) -> None:
    final = {
        (event.turn, event.role): event.text
        for event in talk.peer.events
        if isinstance(event, Transcript) and event.final
    }
    cut = {event.turn for event in talk.peer.events if isinstance(event, Interrupted)}
    for turn, words in talk.bridge.said.items():
        if words.startswith("typed") or turn not in cut:
            assert final[turn, Role.USER] == words
        if turn not in cut:
            assert final[turn, Role.ASSISTANT] == talk.gemini.whole_replies[words]
    responses = [event.turn for event in talk.peer.events if isinstance(event, TextResponse)]
    assert sorted(responses) == sorted(set(responses))
    assert set(responses) >= set(talk.bridge.said)


def longest_gap(talk: Talk) -> float:
    return max(float(np.diff(times).max(initial=0.0)) for times in talk.peer.played.values())


def faults(talk: Talk) -> list[Event]:
    return [event for event in talk.peer.events if isinstance(event, Fault)]


@pytest.mark.parametrize("minutes", [6.0, pytest.param(60.0, marks=pytest.mark.acceptance)])
def test_sessions_that_end_every_few_seconds_with_a_warning_are_never_noticed(minutes: float) -> None:
    lived = run_fast(talk(1, minutes=minutes, habits=Habits()))
    assert lived.gemini.connections >= 6
    assert lived.gemini.most_open == 1
    assert len(lived.bridge.said) > 6 * minutes
    assert_no_word_is_lost_or_said_twice(lived)
    assert_the_transcript_is_whole(lived)
    assert longest_gap(lived) <= 0.1
    assert not faults(lived)


@pytest.mark.parametrize("minutes", [6.0, pytest.param(60.0, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_sessions_that_break_and_handles_that_are_refused_lose_nothing_the_user_said(
    seed: int, minutes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fresh session is told the newest of what was said; for once, all of it, so that it can be counted.
    monkeypatch.setattr(recollection, "MOST_CHARACTERS", 1_000_000)
    lived = run_fast(talk(seed, minutes=minutes, habits=Habits(crashes=0.25, refusals=0.2)))
    assert lived.gemini.crashes > 3
    assert lived.gemini.seeded > 0
    assert_no_word_is_lost_or_said_twice(lived)
    assert_the_transcript_is_whole(lived)
    assert longest_gap(lived) <= 0.1
