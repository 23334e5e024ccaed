"""Endpointing: decides how long a pause must last to end an utterance."""

from collections import deque
from dataclasses import dataclass

from pipeline.audio.smart_turn import WINDOW_BYTES
from pipeline.audio.vad import WINDOW_BYTES as VAD_WINDOW_BYTES
from pipeline.audio.vad import WINDOW_SECONDS
from pipeline.config import TurnModel, TurnSettings

JUDGE_AFTER = 6 * WINDOW_SECONDS
"""Seconds of a pause (192 ms) after which Smart Turn is asked; its verdict comes before `FINISHED_SILENCE` is over."""

SURE, LIKELY = 0.9, 0.5
"""Probabilities from which on a speaker is surely or likely finished.

Measured by `bench.turns`: with 0.9 fewer pauses are cut off than by 500 ms of silence, and the wait is shorter. With
0.5 alone it is as short, but more pauses are cut off.
"""

FINISHED_SILENCE = 0.3
"""Seconds of silence that end the turn of a speaker who is surely finished; who is likely to be waits `silence`."""

UNFINISHED_SILENCE = 1.5
"""Seconds of silence that end the turn of a speaker who is not."""

BRIEF = 1.2
"""Longest speech (s) over the assistant's voice that may be a backchannel, which must not wait long for its end."""

_EPSILON = 1e-6  # Seconds are sums of floats; far under one sample.


@dataclass(frozen=True, slots=True, eq=False)
class Pause:
    """A pause to be judged: the utterance up to now as 16 kHz PCM, of which at most the last 8 s."""

    pcm: bytes


class PauseRule:
    """Takes the windows of an utterance with the length of the present pause, and yields each pause to be judged once.

    Without a model, or without its verdict, `silence` seconds end the utterance.
    """

    def __init__(self, settings: TurnSettings):
        self._silence = settings.silence
        self._has_model = settings.model is TurnModel.SMART_TURN
        self._heard: deque[bytes] = deque(maxlen=WINDOW_BYTES // VAD_WINDOW_BYTES if self._has_model else 0)
        self._silent: float
        self._is_brief: bool
        self._pause: Pause | None
        self._probability: float | None
        self.reset()

    @property
    def is_over(self) -> bool:
        """Whether the present pause has ended the utterance."""
        return self._silent >= self._needed_silence - _EPSILON

    def push(self, pcm: bytes, silent: float, *, is_brief: bool = False) -> Pause | None:
        """Take a window; returns a pause to be judged.

        `silent` is the length (s) of the present pause, 0 in speech; `is_brief`: the utterance may be a backchannel.
        """
        self._heard.append(pcm)
        self._silent = silent
        self._is_brief = is_brief
        if not silent:
            self._pause = self._probability = None
        elif self._has_model and self._pause is None and silent >= JUDGE_AFTER - _EPSILON:
            self._pause = Pause(b"".join(self._heard))
            return self._pause
        return None

    def take_verdict(self, pause: Pause, probability: float) -> None:
        """Take the probability that the speaker is finished, unless the pause is not the present one."""
        if pause is self._pause:
            self._probability = probability

    def reset(self) -> None:
        """Begin a new utterance."""
        self._heard.clear()
        self._silent = 0.0
        self._is_brief = False
        self._pause = self._probability = None

    @property
    def _needed_silence(self) -> float:
        if not self._has_model:
            return self._silence
        if self._probability is not None and self._probability >= SURE:
            return FINISHED_SILENCE
        if self._probability is None or self._probability >= LIKELY or self._is_brief:
            # Not before a verdict that comes in time, however short the silence is set.
            return max(self._silence, FINISHED_SILENCE)
        return UNFINISHED_SILENCE
