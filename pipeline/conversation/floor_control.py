"""Who of those present is asking: by voice or in writing, one at a time (floor control, as in RFC 4582)."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import assert_never

from loguru import logger

from pipeline.audio.turn_detector import TurnSignal
from pipeline.audio.utterances import UtteranceDetector
from pipeline.audio.vad import VadModel
from pipeline.config import TurnSettings
from pipeline.conversation.dialogue import Dialogue
from pipeline.errors import MediaError
from pipeline.events import Event, Role, SpeechEnded, SpeechStarted, Transcript
from pipeline.gemini.bridge import GeminiBridge
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk
from pipeline.peer import Peer
from pipeline.screen.screen_share import ScreenShare

MICROPHONE_CHUNKS = 250
"""How many chunks (20 ms each by RTP) may wait to be heard before the oldest is dropped."""

REMEMBERED_VOICES = 8
"""Turns of which it is known whose voice began them."""

MAX_NAME = 64


class FloorControl:
    """Takes every microphone and every typed question, and makes turns of them.

    Whoever speaks while nobody else does has the floor until the utterance ends; others are not heard meanwhile. A
    typed question takes it at once. Either cuts what the assistant was saying. `tell` takes the transcript of what is
    typed, `changed` is called whenever the floor is taken or given up, `failed` with faults of the microphones.
    """

    def __init__(
        self,
        vad: VadModel,
        *,
        dialogue: Dialogue,
        bridge: GeminiBridge,
        sight: ScreenShare,
        tell: Callable[[Event], None],
        changed: Callable[[], None],
        failed: Callable[[MediaError], None],
    ):
        self._vad = vad
        self._dialogue = dialogue
        self._bridge = bridge
        self._sight = sight
        self._tell = tell
        self._changed = changed
        self._failed = failed
        self._ears: dict[Peer, UtteranceDetector] = {}
        self._windows_of_departed = 0
        self._names: dict[Peer, str] = {}
        self._voices: dict[int, Peer] = {}
        self._microphones = Mailbox[tuple[Peer, AudioChunk | None]](MICROPHONE_CHUNKS)
        self._lock = asyncio.Lock()  # a typed question on its way to the engine is not overtaken by a spoken one
        self._utterance: tuple[Peer, int] | None = None

    @property
    def has_speaker(self) -> bool:
        """Whether somebody is speaking."""
        return self._utterance is not None

    @property
    def windows(self) -> int:
        """VAD windows judged so far, of all microphones."""
        return self._windows_of_departed + sum(ear.windows for ear in self._ears.values())

    @property
    def dropped(self) -> int:
        """Chunks that gave way because too many waited to be heard."""
        return self._microphones.dropped

    def speaker(self, turn: int) -> Peer | None:
        """Whose voice asks in this turn; None where nobody's does, as it was typed, or when it is long ago."""
        return self._voices.get(turn)

    def add_peer(self, peer: Peer, turns: TurnSettings, *, name: str) -> None:
        """Let a peer speak and write. Among several with names, the engine is told by name who does."""
        self._ears[peer] = UtteranceDetector(self._vad, turns)
        self._names[peer] = _prompt_safe_name(name)

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        """Judge by other settings from now on when this peer speaks; what it is saying is forgotten."""
        if peer in self._ears:
            self._forget(peer)
            self._ears[peer] = UtteranceDetector(self._vad, turns)

    def remove_peer(self, peer: Peer) -> None:
        """Forget a peer, and what it is saying."""
        self._forget(peer)
        del self._names[peer]

    def push_audio(self, peer: Peer, chunk: AudioChunk | None) -> None:
        """Take microphone audio of any rate, None when it has ended; never waits, drops the oldest when overrun."""
        if self._microphones.put((peer, chunk)) and self._microphones.dropped % 50 == 1:
            logger.warning("microphone overrun", dropped=self._microphones.dropped)

    def discard_utterances(self) -> None:
        """Forget whatever anybody is saying."""
        self._drop_utterance()
        for ear in self._ears.values():
            ear.reset()

    async def run(self) -> None:
        """Listen to all microphones until cancelled."""
        async for peer, chunk in self._microphones:
            ear = self._ears.get(peer)
            if ear is None:
                continue
            try:
                heard = ear.close() if chunk is None else ear.push(chunk, audible=self._dialogue.is_audible)
                async with self._lock:
                    await self._consume(peer, ear, heard)
            except MediaError as error:
                self._failed(error)

    async def submit_text(self, peer: Peer, text: str) -> None:
        """Put a typed question, together with what the screen shows now."""
        async with self._lock:
            await self._close_utterance()
            await self._sight.send_for_turn()
            # From here on at once, so that whatever befalls the reply that ends here does not befall the question.
            turn = self._start_turn()
            self._announce_speaker(peer, "writes")
            self._dialogue.ask(turn, time.monotonic())
            self._bridge.submit_text(turn, text)
            self._tell(Transcript(turn, Role.USER, text, final=True))
            self._changed()

    async def _consume(self, peer: Peer, ear: UtteranceDetector, heard: Iterable[TurnSignal]) -> None:
        for fact in heard:
            if self._ears.get(peer) is not ear:
                return  # they have left, or are judged anew, since this was said
            match fact:
                case SpeechStarted():
                    if self._utterance is None:
                        self._begin_utterance(peer, time.monotonic() - (ear.pts - fact.pts))
                case AudioChunk():
                    if self._owns_utterance(peer):
                        self._bridge.push_audio(fact)
                case SpeechEnded(pts):
                    if self._owns_utterance(peer):
                        await self._end_utterance(time.monotonic() - (ear.pts - pts))
                case _:
                    assert_never(fact)

    def _begin_utterance(self, peer: Peer, since: float) -> None:
        turn = self._start_turn(since)
        self._utterance = peer, turn
        self._remember_voice(peer, turn)
        self._announce_speaker(peer, "is speaking")
        self._bridge.start_utterance(turn)
        self._changed()

    async def _end_utterance(self, ended_at: float) -> None:
        # The frame that shows what is being asked about goes up inside the utterance, as its last part.
        utterance = self._utterance
        await self._sight.send_for_turn()
        if utterance is None or self._utterance is not utterance:
            return  # a fault while the frame was made has already dropped it
        self._utterance = None
        self._dialogue.ask(utterance[1], ended_at)
        self._bridge.end_utterance()
        self._changed()

    async def _close_utterance(self) -> None:
        if self._utterance is not None:
            peer, _ = self._utterance
            ear = self._ears[peer]
            await self._consume(peer, ear, ear.close())

    def _drop_utterance(self) -> None:
        if self._utterance is not None:
            self._utterance = None
            self._bridge.cancel_utterance()

    def _owns_utterance(self, peer: Peer) -> bool:
        return self._utterance is not None and self._utterance[0] is peer

    def _forget(self, peer: Peer) -> None:
        if self._owns_utterance(peer):
            self._drop_utterance()
        self._windows_of_departed += self._ears.pop(peer).windows

    def _start_turn(self, since: float | None = None) -> int:
        """The user begins a turn, by voice `since` (monotonic s): whatever the assistant was saying ends here."""
        self._dialogue.interrupt(since)  # the engine stops by itself when it hears the user
        return self._dialogue.next_turn()

    def _remember_voice(self, peer: Peer, turn: int) -> None:
        self._voices[turn] = peer
        while len(self._voices) > REMEMBERED_VOICES:
            del self._voices[next(iter(self._voices))]

    def _announce_speaker(self, peer: Peer, does: str) -> None:
        name = self._names.get(peer)
        if name and len({name for name in self._names.values() if name}) > 1:
            self._bridge.add_context_note(f"[{name} {does}.]")


def _prompt_safe_name(name: str) -> str:
    """A name as a note to the engine can hold it: what people call themselves is no instruction."""
    return "".join(sign for sign in name if sign.isalnum() or sign in " .-'_@").strip()[:MAX_NAME]
