"""One client's voice as the assistant hears it: what was recorded before the connection comes first."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.media import AudioChunk

PATIENCE = 3.0
"""How long (s) live audio waits for the recording that came before it."""


class PreConnectAudio:
    """Stamps what a client's microphones give, one after another, as one stream without holes."""

    def __init__(self) -> None:
        self._end = 0.0
        self._held: deque[AudioChunk] | None = None
        self._held_until = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether live audio waits for a recording."""
        return self._held is not None

    def is_overdue(self, now: float) -> bool:
        """Whether live audio has waited long enough at `now` (s)."""
        return self._held is not None and now >= self._held_until

    def expect_recording(self, now: float) -> None:
        """What was recorded before the connection is on its way: live audio waits for it."""
        if self._held is None:
            self._held = deque()
            self._held_until = now + PATIENCE

    def push(self, chunk: AudioChunk, now: float) -> Iterator[AudioChunk]:
        """Take live audio at `now` (s)."""
        if self._held is not None:
            if not self.is_overdue(now):
                self._held.append(chunk)
                return
            yield from self.release()
        yield self._stamped(chunk)

    def prepend_recording(self, recording: Iterable[AudioChunk]) -> Iterator[AudioChunk]:
        """Take some of the recording; `release` when all of it has come."""
        for chunk in recording:
            yield self._stamped(chunk)

    def release(self) -> Iterator[AudioChunk]:
        """Wait for no recording any more."""
        held, self._held = self._held or (), None
        for chunk in held:
            yield self._stamped(chunk)

    def _stamped(self, chunk: AudioChunk) -> AudioChunk:
        stamped = replace(chunk, pts=self._end)
        self._end += chunk.duration
        return stamped
