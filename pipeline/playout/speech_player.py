"""The TTS track writer: plays one reply as 20 ms frames on the frame clock, and reports how much was played."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE, AudioChunk, SpeechFrame
from pipeline.playout.ducker import Ducker
from pipeline.playout.frame_clock import FrameClock
from pipeline.playout.opus_encoder import OpusEncoder
from pipeline.playout.playout_buffer import FRAME_SAMPLES, SILENCE, HeldSpeech, Playout
from pipeline.playout.spoken_text import SpokenText

OVERLAP = 10
"""Frames (200 ms) played again when a reply is taken up: they were ducked, or flushed on their way to the client."""


@dataclass(frozen=True, slots=True)
class HeldReply:
    """A reply that was cut and may be taken up again: its text, and the rest of its speech."""

    text: SpokenText
    speech: HeldSpeech


@dataclass(frozen=True, slots=True)
class PlayedReply:
    """The part of a reply that was played: its length in milliseconds, and its text."""

    turn: int
    ms: int
    text: str


class SpeechOutput(Protocol):
    """Takes the frames of the assistant's speech. No method waits or raises."""

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech that is due now."""
        ...

    def flush_audio(self) -> None:
        """Drop speech that has not been sent yet."""
        ...


class SpeechPlayerListener(Protocol):
    """Receives frames and playback events of a `SpeechPlayer`. No method waits or raises."""

    def on_speech_frame(self, frame: SpeechFrame) -> None:
        """Handle 20 ms of speech that is due now."""
        ...

    def on_speech_flushed(self) -> None:
        """Drop the frames that have not been sent yet."""
        ...

    def on_speech_finished(self) -> None:
        """Handle the end of a finished reply that was played completely; called once."""
        ...

    def on_playout_error(self, error: Exception) -> None:
        """Handle an error of the frame clock's callback."""
        ...


class SpeechPlayer:
    """Plays one reply at a time, and subscribes to the frame clock only while there is one.

    Errors in the clock's callback go to the listener: the clock serves all conversations, and no error of one may
    stop it.
    """

    def __init__(self, frame_clock: FrameClock, listener: SpeechPlayerListener):
        self._frame_clock = frame_clock
        self._listener = listener
        self._on_frame = listener.on_speech_frame
        self._playout = Playout()
        self._encoder = OpusEncoder()
        self._ducker = Ducker()
        self._reply: SpokenText | None = None
        self._lag = 0  # samples sent that, by the client's report, have not been played yet
        self._is_finished = False

    @property
    def turn(self) -> int | None:
        """The turn being played, or None."""
        return self._reply.turn if self._reply else None

    @property
    def text(self) -> str:
        """The text of the reply being played, as far as it has arrived."""
        return self._reply.text.strip() if self._reply else ""

    @property
    def is_audible(self) -> bool:
        """Whether the user may be hearing the assistant right now."""
        return self._playout.is_audible

    @property
    def is_finished(self) -> bool:
        """Whether a finished reply has been played to its end, including the silent frame after it."""
        return self._is_finished

    def open(self, turn: int, *, timed: bool) -> None:
        """Begin a reply; `timed`: each piece of its text arrives just before its audio."""
        self._begin(SpokenText(turn, timed=timed))
        self._playout.open(turn)

    def duck(self, is_ducked: bool) -> None:
        """Lower the voice from the next frame on, or raise it again."""
        self._ducker.is_ducked = is_ducked

    def hold(self) -> HeldReply | None:
        """Return what is needed to take the reply up again after `stop`; None without a reply."""
        speech = self._playout.hold(rewind=OVERLAP + self._lag // FRAME_SAMPLES)
        return None if self._reply is None or speech is None else HeldReply(self._reply, speech)

    def resume(self, held: HeldReply) -> None:
        """Play the rest of a reply that was stopped. Nothing is added to it any more."""
        self._begin(held.text)
        self._playout.restore(held.speech)
        self._playout.finish(held.speech.turn)

    def add_audio(self, turn: int, chunk: AudioChunk) -> None:
        """Queue speech unless its turn is over; raises `AudioError` if far too much is queued."""
        if self._reply is not None and turn == self._reply.turn:
            self._reply.add_samples(len(chunk.pcm) // SAMPLE_BYTES)
            self._playout.push(turn, chunk.pcm)

    def add_text(self, turn: int, text: str) -> None:
        """Add a piece of the reply's text unless its turn is over."""
        if self._reply is not None and turn == self._reply.turn:
            self._reply.add_text(text)

    def finish(self, turn: int) -> None:
        """Mark the speech of this turn as complete."""
        self._playout.finish(turn)

    def client_played(self, turn: int, ms: int) -> None:
        """Take the client's report of how much it has played by now, capped at what it was sent."""
        if self._reply is not None and turn == self._reply.turn:
            self._lag = max(0, self._playout.played_samples - ms * SPEECH_SAMPLE_RATE // 1000)

    def end(self) -> PlayedReply | None:
        """Close a reply that was played to its end; nothing is flushed, so a lagging client plays all of it."""
        reply, self._reply = self._reply, None
        self._frame_clock.unsubscribe(self._tick)
        self._playout.close()
        return None if reply is None else _played(reply, self._playout.played_samples)

    def stop(self, *, fades: bool) -> PlayedReply | None:
        """Stop at once, as for a barge-in, and drop queued speech; returns what was played, None without a reply.

        `fades` ramps the last sample to zero within 5 ms, so that an interruption does not click. After an error there
        is no ramp, as the encoder itself may be broken.
        """
        reply, self._reply = self._reply, None
        self._frame_clock.unsubscribe(self._tick)
        self._playout.close()
        if reply is None:
            return None
        self._listener.on_speech_flushed()
        ramp = self._playout.pull()
        if fades and ramp is not SILENCE:
            self._send(reply.turn, self._ducker.apply(ramp))
            self._send(reply.turn, SILENCE)
        return _played(reply, max(0, self._playout.played_samples - self._lag))

    def close(self) -> None:
        """Stop without a ramp, when the conversation ends."""
        self.stop(fades=False)

    def _begin(self, reply: SpokenText) -> None:
        self._reply = reply
        self._lag = 0
        self._is_finished = False
        self._ducker.reset()
        self._frame_clock.subscribe(self._tick)

    def _send(self, turn: int, pcm: bytes) -> None:
        # A frame of silence follows the speech: the encoder looks 6.5 ms ahead and still holds the end of it.
        self._on_frame(SpeechFrame(turn, pcm, self._encoder.encode(pcm)))

    def _tick(self) -> None:
        try:
            if self._reply is None:
                return
            pcm = self._playout.pull()
            if pcm is not SILENCE:
                self._send(self._reply.turn, self._ducker.apply(pcm))
            elif self._playout.is_drained:
                self._send(self._reply.turn, SILENCE)
                self._frame_clock.unsubscribe(self._tick)
                self._is_finished = True
                self._listener.on_speech_finished()
        except Exception as error:  # handed to the conversation, which catches everything
            self._listener.on_playout_error(error)


def _played(reply: SpokenText, samples: int) -> PlayedReply:
    return PlayedReply(reply.turn, samples * 1000 // SPEECH_SAMPLE_RATE, reply.text_until(samples))
