"""Endpointing: finds the start and end of utterances from speech probabilities, with pre-roll and hangover."""

from collections import deque
from collections.abc import Iterator
from math import inf

from pipeline.audio.pause_rule import BRIEF, Pause, PauseRule
from pipeline.audio.vad import WINDOW_SECONDS, Window
from pipeline.config import TurnSettings
from pipeline.events import SpeechEnded, SpeechStarted
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk

TurnSignal = SpeechStarted | AudioChunk | Pause | SpeechEnded

# silero_vad 6.2.3, utils_vad.py, get_speech_timestamps: neg_threshold = max(threshold - 0.15, 0.01).
HYSTERESIS = 0.15
MIN_END_THRESHOLD = 0.01

MAX_DIP = 2 * WINDOW_SECONDS
"""Longest pause inside the speech that starts an utterance: the closure of a plosive lasts 50 to 100 ms."""

MIN_SPEECH = 3 * WINDOW_SECONDS
"""Least speech that counts as an utterance when the client ends it."""

LONG_UTTERANCE = 10.0
"""Seconds after which an utterance that the client ends may be noise that goes on."""

_EPSILON = 1e-6  # Seconds are sums of floats; far under one sample.


class TurnDetector:
    """Takes windows, and yields exactly what is sent to the engine, in order.

    An utterance starts with `start` seconds at or above the threshold, dips of up to 64 ms apart. A pause begins with a
    window below the end threshold and lasts until one reaches the threshold again, as in Silero's own iterator. The
    utterance ends once the pause is as long as `PauseRule` says, or when it has lasted `max_utterance` seconds. What
    goes on after that, such as a television, starts no utterance until there was a pause of `silence` seconds.
    """

    def __init__(self, settings: TurnSettings | None = None):
        self._settings = settings or TurnSettings()
        self._is_open: bool
        self._awaits_pause: bool
        self._is_interruption: bool
        self._run_start: float
        self._end_threshold = max(self._settings.threshold - HYSTERESIS, MIN_END_THRESHOLD)
        self._pauses = PauseRule(self._settings)
        self._recent: deque[tuple[Window, bool]] = deque()  # before an utterance, each with whether it was speech
        self.reset()

    @property
    def is_open(self) -> bool:
        """Whether an utterance has started and not ended."""
        return self._is_open

    @property
    def may_be_speech(self) -> bool:
        """Whether the last windows sound like speech, which may start an utterance.

        While the assistant is audible this is sooner and less sure than the start itself.
        """
        return not self._is_open and self._end - self._hint_end <= MAX_DIP + _EPSILON

    def push(self, window: Window, *, audible: bool) -> Iterator[TurnSignal]:
        """Yield the boundary and audio this window completes; `audible` while the assistant can be heard."""
        self._end = window.end
        if self._is_open:
            yield _chunk([window])
            silent = self._silence(window)
            is_brief = self._is_interruption and window.end - silent - self._run_start <= BRIEF
            pause = self._pauses.push(window.pcm, silent, is_brief=is_brief)
            if pause is not None:
                yield pause
            if self._pauses.is_over:
                yield from self.close()
            elif window.end - self._run_start >= self._settings.max_utterance - _EPSILON:
                yield SpeechEnded(window.end, is_too_long=True)
                self.reset()
                self._awaits_pause = True
        elif self._awaits_pause:
            self._awaits_pause = self._silence(window) < self._settings.silence - _EPSILON
        elif self._is_start(window, audible):
            self._is_open = True
            self._is_interruption = audible
            yield SpeechStarted(self._run_start)
            for recent, _ in self._recent:
                self._pauses.push(recent.pcm, 0.0)
            yield _chunk([window for window, _ in self._recent])

    def take_verdict(self, pause: Pause, probability: float) -> None:
        """Take the verdict on a pause; ignored if the speaker has gone on or the utterance is over."""
        self._pauses.take_verdict(pause, probability)

    def close(self, *, awaits_pause: bool = False) -> Iterator[TurnSignal]:
        """End the utterance now; one too short to have started is yielded whole if it has 96 ms of speech.

        After an utterance of more than 10 s, or with `awaits_pause`, no other one starts before there was a pause.
        """
        if self._is_open:
            end = self._end if self._silent_since is None else self._silent_since
            awaits_pause = awaits_pause or end - self._run_start > LONG_UTTERANCE
            self.reset()
            self._awaits_pause = awaits_pause
            yield SpeechEnded(end)
            return
        if self._awaits_pause:
            return
        recent = [window for window, _ in self._recent]
        speech = [window for window, is_speech in self._recent if is_speech]
        self.reset()
        if len(speech) * WINDOW_SECONDS >= MIN_SPEECH:
            yield SpeechStarted(speech[0].pts)
            yield _chunk(recent)
            yield SpeechEnded(speech[-1].end)

    def reset(self) -> None:
        """Forget all audio and the open utterance."""
        self._is_open = self._awaits_pause = self._is_interruption = False
        self._end = -inf  # of the last window
        self._recent.clear()
        self._pauses.reset()
        self._run = 0.0  # seconds of speech that may become an utterance
        self._run_start = inf
        self._run_end = -inf
        self._hint_end = -inf  # of the last window at or above the threshold, before an utterance
        self._silent_since: float | None = None

    def _is_start(self, window: Window, audible: bool) -> bool:
        settings = self._settings
        is_speech = window.probability >= (settings.audible_threshold if audible else settings.threshold)
        if window.pts - self._run_end > MAX_DIP + _EPSILON:
            self._run, self._run_start = 0.0, inf
        if window.probability >= settings.threshold:
            self._hint_end = window.end
        if is_speech:
            self._run += WINDOW_SECONDS
            self._run_start = min(self._run_start, window.pts)
            self._run_end = window.end
        self._remember(window, is_speech)
        return is_speech and self._run >= settings.start - _EPSILON

    def _remember(self, window: Window, is_speech: bool) -> None:
        # By time and not by count: audio from before a pause of the microphone is not pre-roll.
        self._recent.append((window, is_speech))
        oldest = min(window.end - self._settings.pre_roll, self._run_start)
        while self._recent and self._recent[0][0].end <= oldest + _EPSILON:
            self._recent.popleft()

    def _silence(self, window: Window) -> float:
        """Return the seconds of the present pause; 0 while there is speech."""
        if window.probability >= self._settings.threshold:
            self._silent_since = None
        elif self._silent_since is None and window.probability < self._end_threshold:
            self._silent_since = window.pts
        return 0.0 if self._silent_since is None else window.end - self._silent_since


def _chunk(windows: list[Window]) -> AudioChunk:
    return AudioChunk(b"".join(window.pcm for window in windows), INPUT_SAMPLE_RATE, windows[0].pts)
