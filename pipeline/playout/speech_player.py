"""The assistant's voice: what the engine says, as frames at their time, and how much of it was heard."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE, AudioChunk, SpeechFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.playout.opus_encoder import OpusEncoder
from pipeline.playout.playout_buffer import SILENCE, Playout
from pipeline.playout.spoken_text import SpokenText


@dataclass(frozen=True, slots=True)
class PlayedReply:
    """How much of a reply was heard: in milliseconds, and in words."""

    turn: int
    ms: int
    text: str


class SpeechPlayer:
    """Speaks one reply at a time; ticks, and costs anything, only while there is one.

    `play` is given each frame when it is due, `flush` drops what was given and is not out yet, `over` is called once
    when a finished reply was played to its end, and `failed` takes whatever goes wrong on the ticker, which belongs to
    no conversation and must not be stopped by one.
    """

    def __init__(
        self,
        ticker: FrameClock,
        *,
        play: Callable[[SpeechFrame], None],
        flush: Callable[[], None],
        over: Callable[[], None],
        failed: Callable[[Exception], None],
    ):
        self._ticker = ticker
        self._play = play
        self._flush = flush
        self._over = over
        self._failed = failed
        self._playout = Playout()
        self._encoder = OpusEncoder()
        self._said: SpokenText | None = None
        self._lag = 0  # samples that were given out and, as the client says, not played yet
        self._is_over = False

    @property
    def turn(self) -> int | None:
        """The turn being spoken, or None."""
        return self._said.turn if self._said else None

    @property
    def text(self) -> str:
        """All that the reply being spoken says, as far as it is known."""
        return self._said.text.strip() if self._said else ""

    @property
    def is_audible(self) -> bool:
        """Whether the user may be hearing the assistant right now."""
        return self._playout.is_audible

    @property
    def is_over(self) -> bool:
        """Whether a finished reply has been played to its end, the sound's way to zero included."""
        return self._is_over

    def open(self, turn: int, *, timed: bool) -> None:
        """Begin a reply; `timed`: its text arrives just before the audio that says it."""
        self._said = SpokenText(turn, timed=timed)
        self._lag = 0
        self._is_over = False
        self._playout.open(turn)
        self._ticker.subscribe(self._tick)

    def add_audio(self, turn: int, chunk: AudioChunk) -> None:
        """Queue voice, unless it belongs to a turn that is over; raises `AudioError` if far too much is queued."""
        if self._said is not None and turn == self._said.turn:
            self._said.add_samples(len(chunk.pcm) // SAMPLE_BYTES)
            self._playout.push(turn, chunk.pcm)

    def add_text(self, turn: int, text: str) -> None:
        """Take a piece of what is being said, unless it belongs to a turn that is over."""
        if self._said is not None and turn == self._said.turn:
            self._said.add_text(text)

    def finish(self, turn: int) -> None:
        """Say that no more voice comes for this turn."""
        self._playout.finish(turn)

    def client_played(self, turn: int, ms: int) -> None:
        """Believe the client about how much it has played by now, up to what it was given; from here it plays on."""
        if self._said is not None and turn == self._said.turn:
            self._lag = max(0, self._playout.heard_samples - ms * SPEECH_SAMPLE_RATE // 1000)

    def end(self) -> PlayedReply | None:
        """Close a reply that was played to its end: nothing of it is dropped, so a client that lags hears it all."""
        said, self._said = self._said, None
        self._ticker.unsubscribe(self._tick)
        self._playout.close()
        return None if said is None else _heard(said, self._playout.heard_samples)

    def close(self, *, softly: bool) -> PlayedReply | None:
        """Fall silent at once; tells what was heard, or None if no reply was open.

        `softly` ends with 5 ms from the last sample to zero, so that a cut does not click. After a fault there is not
        even that: it may be the encoder that is broken.
        """
        said, self._said = self._said, None
        self._ticker.unsubscribe(self._tick)
        self._playout.close()
        if said is None:
            return None
        self._flush()
        ramp = self._playout.pull()
        if softly and ramp is not SILENCE:
            self._report_heard(said.turn, ramp)
            self._report_heard(said.turn, SILENCE)
        return _heard(said, max(0, self._playout.heard_samples - self._lag))

    def release(self) -> None:
        """Say nothing ever again."""
        self.close(softly=False)

    def _report_heard(self, turn: int, pcm: bytes) -> None:
        # Speech is followed by a frame of silence: the encoder looks 6.5 ms ahead and still holds the end of it.
        self._play(SpeechFrame(turn, pcm, self._encoder.encode(pcm)))

    def _tick(self) -> None:
        try:
            if self._said is None:
                return
            pcm = self._playout.pull()
            if pcm is not SILENCE:
                self._report_heard(self._said.turn, pcm)
            elif self._playout.is_over:
                self._report_heard(self._said.turn, SILENCE)
                self._ticker.unsubscribe(self._tick)
                self._is_over = True
                self._over()
        except Exception as error:  # handed to the conversation, where everything is caught
            self._failed(error)


def _heard(said: SpokenText, samples: int) -> PlayedReply:
    return PlayedReply(said.turn, samples * 1000 // SPEECH_SAMPLE_RATE, said.text_until(samples))
