"""Floor control (as in RFC 4582): decides which peer asks, by voice or by text, one at a time."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol, assert_never

from loguru import logger

from pipeline.audio.pause_rule import Pause
from pipeline.audio.smart_turn import EndOfTurnModel
from pipeline.audio.turn_detector import TurnSignal
from pipeline.audio.utterances import UtteranceDetector
from pipeline.audio.vad import VadModel
from pipeline.config import TurnModel, TurnSettings
from pipeline.conversation.dialogue import Dialogue
from pipeline.errors import FaultCode, MediaError
from pipeline.events import Event, Role, SpeechEnded, SpeechStarted, Transcript
from pipeline.gemini.bridge import GeminiBridge
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk
from pipeline.peer import Peer
from pipeline.screen.screen_share import ScreenShare

MAX_QUEUED_CHUNKS = 250
"""Microphone chunks (20 ms each by RTP) that may be queued before the oldest is dropped."""

MAX_KNOWN_SPEAKERS = 8
"""Newest spoken turns whose speaker is remembered."""

MAX_NAME = 64


class FloorListener(Protocol):
    """Receives the events of floor control. No method waits or raises."""

    def send_event(self, event: Event) -> None:
        """Send an event to peers and observers."""
        ...

    def on_floor_changed(self) -> None:
        """Handle that the floor was taken or released."""
        ...

    def report_error(self, error: MediaError) -> None:
        """Handle an error of a microphone."""
        ...

    @property
    def plan_note(self) -> str | None:
        """The plan in words, for a model, with each question while there is one."""
        ...


class FloorControl:
    """Makes turns of all microphones and typed questions.

    A peer that starts to speak takes the floor until its utterance ends; other microphones are ignored meanwhile. A
    typed question takes the floor at once. Both interrupt the reply being played (barge-in).
    """

    def __init__(
        self,
        vad: VadModel,
        *,
        end_of_turn: EndOfTurnModel,
        dialogue: Dialogue,
        bridge: GeminiBridge,
        screen_share: ScreenShare,
        listener: FloorListener,
    ):
        self._vad = vad
        self._end_of_turn = end_of_turn
        self._dialogue = dialogue
        self._bridge = bridge
        self._screen_share = screen_share
        self._listener = listener
        self._detectors: dict[Peer, UtteranceDetector] = {}
        self._windows_of_departed = 0
        self._names: dict[Peer, str] = {}
        self._speakers: dict[int, Peer] = {}
        self._microphones = Mailbox[tuple[Peer, AudioChunk | None]](MAX_QUEUED_CHUNKS)
        self._send_order = asyncio.Lock()  # no spoken turn overtakes a typed question on its way to the engine
        self._utterance: tuple[Peer, int] | None = None
        self._began = 0.0  # session time of its first speech

    @property
    def has_speaker(self) -> bool:
        """Whether a peer is speaking."""
        return self._utterance is not None

    @property
    def windows(self) -> int:
        """Number of VAD windows processed so far, over all microphones."""
        return self._windows_of_departed + sum(detector.windows for detector in self._detectors.values())

    @property
    def dropped(self) -> int:
        """Number of chunks dropped because the queue was full."""
        return self._microphones.dropped

    def speaker(self, turn: int) -> Peer | None:
        """Return the peer whose voice began this turn; None for a typed question or an old turn."""
        return self._speakers.get(turn)

    def add_peer(self, peer: Peer, turns: TurnSettings, *, name: str) -> None:
        """Accept speech and text of a peer. The engine is given the names when several peers have one."""
        self._add_detector(peer, turns)
        self._names[peer] = _prompt_safe_name(name)

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        """Replace a peer's turn detection settings and drop its open utterance."""
        if peer in self._detectors:
            self._remove_detector(peer)
            self._add_detector(peer, turns)

    def remove_peer(self, peer: Peer) -> None:
        """Remove a peer and drop its open utterance."""
        self._remove_detector(peer)
        del self._names[peer]

    def push_audio(self, peer: Peer, chunk: AudioChunk | None) -> None:
        """Queue microphone audio of any rate, None at its end; never waits, drops the oldest when full."""
        if self._microphones.put((peer, chunk)) and self._microphones.dropped % 50 == 1:
            logger.warning("microphone overrun", dropped=self._microphones.dropped)

    def discard_utterances(self) -> None:
        """Drop the open utterance and reset all detectors."""
        self._drop_utterance()
        for detector in self._detectors.values():
            detector.reset()

    async def run(self) -> None:
        """Process all microphones until cancelled."""
        async for peer, chunk in self._microphones:
            detector = self._detectors.get(peer)
            if detector is None:
                continue
            try:
                signals = detector.close() if chunk is None else detector.push(chunk, audible=self._dialogue.is_audible)
                async with self._send_order:
                    await self._process(peer, detector, signals)
            except MediaError as error:
                self._listener.report_error(error)
            self._dialogue.duck(any(detector.may_be_speech for detector in self._detectors.values()))

    async def submit_text(self, peer: Peer, text: str) -> None:
        """Send a typed question, together with the current screen."""
        async with self._send_order:
            await self._close_utterance()
            await self._screen_share.send_for_turn()
            # No await from here on: an error of the reply that ends here must not reach the new question.
            self._dialogue.interrupt()
            turn = self._dialogue.next_turn()
            self._add_notes(peer, "writes")
            self._dialogue.expect_reply(turn, time.monotonic())
            self._bridge.submit_text(turn, text)
            self._listener.send_event(Transcript(turn, Role.USER, text, final=True))
            self._listener.on_floor_changed()

    async def submit_note(self, note: str, *, is_wanted: Callable[[], bool]) -> bool:
        """Send a note of the server to which the engine replies, with the current screen, unless it is not wanted.

        `is_wanted` is asked last, as a user may begin to speak while the frame is encoded. Returns whether it was sent.
        """
        async with self._send_order:
            await self._screen_share.send_for_turn()
            if not is_wanted():
                return False
            await self._close_utterance()
            self._dialogue.interrupt()
            turn = self._dialogue.next_turn()
            self._dialogue.expect_reply(turn, time.monotonic())
            self._bridge.submit_text(turn, note)
            self._listener.on_floor_changed()
            return True

    async def _process(self, peer: Peer, detector: UtteranceDetector, signals: Iterable[TurnSignal]) -> None:
        for signal in signals:
            if self._detectors.get(peer) is not detector:
                return  # removed or replaced since this audio was queued
            match signal:
                case SpeechStarted():
                    if self._utterance is None:
                        self._began = signal.pts
                        self._begin_utterance(peer, time.monotonic() - (detector.pts - signal.pts))
                case AudioChunk():
                    if self._owns_utterance(peer):
                        self._bridge.push_audio(signal)
                case Pause():
                    if self._owns_utterance(peer):
                        self._ask_whether_finished(detector, signal)
                case SpeechEnded(pts, is_too_long):
                    if self._owns_utterance(peer):
                        await self._end_utterance(time.monotonic() - (detector.pts - pts), seconds=pts - self._began)
                        if is_too_long:
                            self._listener.report_error(_too_long())
                case _:
                    assert_never(signal)

    def _begin_utterance(self, peer: Peer, since: float) -> None:
        turn = self._dialogue.start_utterance(since)  # the engine stops by itself when the user's activity starts
        self._utterance = peer, turn
        self._remember_speaker(peer, turn)
        self._add_notes(peer, "is speaking")
        self._bridge.start_utterance(turn)
        self._listener.on_floor_changed()

    def _ask_whether_finished(self, detector: UtteranceDetector, pause: Pause) -> None:
        self._end_of_turn.judge(pause.pcm, lambda probability: detector.take_verdict(pause, probability))

    async def _end_utterance(self, ended_at: float, *, seconds: float) -> None:
        # The frame that the question is about is sent inside the utterance, as its last part.
        utterance = self._utterance
        await self._screen_share.send_for_turn()
        if utterance is None or self._utterance is not utterance:
            return  # an error dropped it while the frame was encoded
        self._utterance = None
        self._bridge.end_utterance()
        self._dialogue.end_utterance(utterance[1], ended_at, seconds=seconds)
        self._listener.on_floor_changed()

    async def _close_utterance(self) -> None:
        if self._utterance is not None:
            peer, _ = self._utterance
            detector = self._detectors[peer]
            # What the user says beside the question must not interrupt its answer.
            await self._process(peer, detector, detector.close(awaits_pause=True))

    def _drop_utterance(self) -> None:
        if self._utterance is not None:
            self._utterance = None
            self._bridge.cancel_utterance()

    def _owns_utterance(self, peer: Peer) -> bool:
        return self._utterance is not None and self._utterance[0] is peer

    def _add_detector(self, peer: Peer, turns: TurnSettings) -> None:
        self._detectors[peer] = UtteranceDetector(self._vad, turns)
        if turns.model is TurnModel.SMART_TURN:
            self._end_of_turn.warm()

    def _remove_detector(self, peer: Peer) -> None:
        if self._owns_utterance(peer):
            self._drop_utterance()
        self._windows_of_departed += self._detectors.pop(peer).windows

    def _remember_speaker(self, peer: Peer, turn: int) -> None:
        self._speakers[turn] = peer
        while len(self._speakers) > MAX_KNOWN_SPEAKERS:
            del self._speakers[next(iter(self._speakers))]

    def _add_notes(self, peer: Peer, activity: str) -> None:
        """Tell the engine with the question who asks, if several could, and the plan."""
        name = self._names.get(peer)
        is_one_of_several = name and len({name for name in self._names.values() if name}) > 1
        speaker = f"[{name} {activity}.]" if is_one_of_several else None
        if notes := [note for note in (speaker, self._listener.plan_note) if note]:
            self._bridge.add_context_note("\n".join(notes))


def _too_long() -> MediaError:
    message = "The turn was ended, as there was no pause for too long. Speech is heard again after a pause."
    return MediaError(FaultCode.UTTERANCE_TOO_LONG, message, where="floor control")


def _prompt_safe_name(name: str) -> str:
    """Strip a display name to characters that cannot form an instruction in the prompt."""
    return "".join(sign for sign in name if sign.isalnum() or sign in " .-'_@").strip()[:MAX_NAME]
