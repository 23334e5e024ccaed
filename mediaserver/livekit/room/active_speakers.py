"""Who is speaking: loudness in, changes out."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from livekit.protocol.models import SpeakerInfo

from pipeline.media import AudioChunk

LOUD = 0.05
"""The level (0 to 1) from which somebody counts as speaking: about -45 dB."""

HOLD = 0.8
"""Seconds of quiet that do not end it."""

_FLOOR = -50.0  # dB, level 0
_STEP = 0.1  # of level that is worth telling


def level_of(chunk: AudioChunk) -> float:
    """How loud a piece of audio is, from 0 to 1."""
    samples = np.frombuffer(chunk.pcm, "<i2").astype(np.float32)
    if not len(samples):
        return 0.0
    power = float(np.mean(np.square(samples))) / 32768**2
    return min(1.0, max(0.0, 1 - 10 * math.log10(power) / _FLOOR)) if power > 0 else 0.0


class ActiveSpeakers:
    """Keeps how loud everybody is; `changes` says what is new since it was last asked."""

    def __init__(self) -> None:
        self._peak: dict[str, float] = {}  # since the last look
        self._heard: dict[str, float] = {}  # when (s) each was last loud
        self._told: dict[str, float] = {}  # the level of each who was said to speak

    def push_level(self, sid: str, level: float, now: float) -> None:
        """Somebody is that loud."""
        self._peak[sid] = max(level, self._peak.get(sid, 0.0))
        if level >= LOUD:
            self._heard[sid] = now

    def remove(self, sid: str) -> None:
        """Somebody has gone or is muted."""
        self._peak.pop(sid, None)
        self._heard.pop(sid, None)

    def all(self, sids: Iterable[str]) -> Iterator[SpeakerInfo]:
        """What was said last of each of these, spoken or silent."""
        for sid in sids:
            yield SpeakerInfo(sid=sid, level=self._told.get(sid, 0.0), active=sid in self._told)

    def changes(self, now: float) -> Iterator[SpeakerInfo]:
        """Who has begun or stopped to speak, or become much louder or quieter."""
        peak, self._peak = self._peak, {}
        speaking = {sid for sid, heard in self._heard.items() if now - heard <= HOLD}
        for sid in sorted(speaking | self._told.keys()):
            if sid not in speaking:
                del self._told[sid]
                self._heard.pop(sid, None)
                yield SpeakerInfo(sid=sid, level=0, active=False)
            elif abs(peak.get(sid, 0.0) - self._told.get(sid, -1.0)) >= _STEP:
                self._told[sid] = peak.get(sid, 0.0)
                yield SpeakerInfo(sid=sid, level=self._told[sid], active=True)
