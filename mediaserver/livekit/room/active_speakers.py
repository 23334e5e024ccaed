"""Active speaker detection from audio levels."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from livekit.protocol.models import SpeakerInfo

from pipeline.media import AudioChunk

LOUD = 0.05
"""The level (0 to 1) from which a participant counts as speaking: about -45 dBFS."""

HOLD = 0.8
"""Seconds of silence after which a participant counts as silent."""

_FLOOR = -50.0  # dBFS of level 0
_STEP = 0.1  # the smallest change of level that is reported


def level_of(chunk: AudioChunk) -> float:
    """Return the level of audio, from 0 to 1, linear in decibels."""
    samples = np.frombuffer(chunk.pcm, "<i2").astype(np.float32)
    if not len(samples):
        return 0.0
    power = float(np.mean(np.square(samples))) / 32768**2
    return min(1.0, max(0.0, 1 - 10 * math.log10(power) / _FLOOR)) if power > 0 else 0.0


class ActiveSpeakers:
    """Tracks the audio levels of participants by sid; `changes` returns the changes since its last call."""

    def __init__(self) -> None:
        self._peak: dict[str, float] = {}  # since the last call of `changes`
        self._last_loud: dict[str, float] = {}  # time (s) at which each was last loud
        self._reported: dict[str, float] = {}  # the reported level of each active speaker

    def push_level(self, sid: str, level: float, now: float) -> None:
        """Record a participant's level at `now` (s)."""
        self._peak[sid] = max(level, self._peak.get(sid, 0.0))
        if level >= LOUD:
            self._last_loud[sid] = now

    def remove(self, sid: str) -> None:
        """Forget a participant that has left or was muted."""
        self._peak.pop(sid, None)
        self._last_loud.pop(sid, None)

    def all(self, sids: Iterable[str]) -> Iterator[SpeakerInfo]:
        """Return the last reported state of each of these participants."""
        for sid in sids:
            yield SpeakerInfo(sid=sid, level=self._reported.get(sid, 0.0), active=sid in self._reported)

    def changes(self, now: float) -> Iterator[SpeakerInfo]:
        """Return the speakers that have started, stopped or changed their level at `now` (s)."""
        peak, self._peak = self._peak, {}
        speaking = {sid for sid, loud_at in self._last_loud.items() if now - loud_at <= HOLD}
        for sid in sorted(speaking | self._reported.keys()):
            if sid not in speaking:
                del self._reported[sid]
                self._last_loud.pop(sid, None)
                yield SpeakerInfo(sid=sid, level=0, active=False)
            elif abs(peak.get(sid, 0.0) - self._reported.get(sid, -1.0)) >= _STEP:
                self._reported[sid] = peak.get(sid, 0.0)
                yield SpeakerInfo(sid=sid, level=self._reported[sid], active=True)
