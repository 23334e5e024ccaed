"""The microphone audio of one client, with its pre-connect recording ahead of the live audio."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.media import AudioChunk

MAX_WAIT = 3.0
"""Seconds for which live audio waits for the recording that precedes it."""


class PreConnectAudio:
    """Joins a client's recording and live audio into one gapless stream of timestamps."""

    def __init__(self) -> None:
        self._next_pts = 0.0
        self._held: deque[AudioChunk] | None = None
        self._held_until = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether live audio is held back for a recording."""
        return self._held is not None

    def is_overdue(self, now: float) -> bool:
        """Whether the recording is overdue at `now` (s)."""
        return self._held is not None and now >= self._held_until

    def expect_recording(self, now: float) -> None:
        """Hold live audio back from `now` (s) on, until the recording arrives or is overdue."""
        if self._held is None:
            self._held = deque()
            self._held_until = now + MAX_WAIT

    def push(self, chunk: AudioChunk, now: float) -> Iterator[AudioChunk]:
        """Stamp live audio that arrives at `now` (s), or hold it back."""
        if self._held is not None:
            if not self.is_overdue(now):
                self._held.append(chunk)
                return
            yield from self.release()
        yield self._stamped(chunk)

    def prepend_recording(self, recording: Iterable[AudioChunk]) -> Iterator[AudioChunk]:
        """Stamp a part of the recording; `release` must follow the last one."""
        for chunk in recording:
            yield self._stamped(chunk)

    def release(self) -> Iterator[AudioChunk]:
        """End the wait, and stamp the audio that was held back."""
        held, self._held = self._held or (), None
        for chunk in held:
            yield self._stamped(chunk)

    def _stamped(self, chunk: AudioChunk) -> AudioChunk:
        stamped = replace(chunk, pts=self._next_pts)
        self._next_pts += chunk.duration
        return stamped
