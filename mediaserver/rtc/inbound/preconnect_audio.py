"""The microphone audio of one client, with its pre-connect recording ahead of the live audio."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from pipeline.media import AudioChunk

MAX_WAIT = 3.0
"""Seconds for which live audio waits for the recording that precedes it."""

MAX_SECONDS = 30.0
"""Seconds of a recording that are used; the rest is dropped."""


class PreConnectAudio:
    """Joins a client's recording and live audio into one gapless stream of timestamps."""

    def __init__(self, *, on_chunk: Callable[[AudioChunk], None], on_end: Callable[[], None]) -> None:
        self._on_chunk = on_chunk
        self._on_end = on_end
        self._next_pts = 0.0
        self._held: deque[AudioChunk] | None = None
        self._held_until: float | None = None  # unknown until there is live audio to hold
        self._is_reading = False
        self._is_ended = False

    @property
    def is_waiting(self) -> bool:
        """Whether a recording is expected that has not begun to arrive."""
        return self._held is not None and not self._is_reading

    def expect_recording(self) -> None:
        """Hold live audio back until the recording arrives, or for `MAX_WAIT`."""
        if self._held is None:
            self._held, self._held_until = deque(), None

    def push(self, chunk: AudioChunk, now: float) -> None:
        """Pass on live audio that arrives at `now` (s), or hold it back."""
        self._is_ended = False
        self.check_timeout(now)
        if self._held is None:
            self._pass_on(chunk)
            return
        self._held.append(chunk)
        if self._held_until is None:
            self._held_until = now + MAX_WAIT

    def end(self) -> None:
        """Report that the live audio has ended; it may begin again."""
        self._is_ended = True
        self._on_end()

    def check_timeout(self, now: float) -> None:
        """Stop to wait for a recording that is overdue at `now` (s)."""
        if self.is_waiting and self._held_until is not None and now >= self._held_until:
            self._release()

    async def prepend(self, recording: Iterable[AudioChunk | None]) -> None:
        """Pass on an expected recording, and then the live audio that was held back, even if the recording raises.

        None in the recording marks where decoding yields to other tasks.
        """
        self._is_reading = True
        seconds = 0.0
        try:
            for chunk in recording:
                if chunk is None:
                    await asyncio.sleep(0)
                    continue
                seconds += chunk.duration
                self._pass_on(chunk)
                if seconds > MAX_SECONDS:
                    break
        finally:
            self._is_reading = False
            self._release()

    def _release(self) -> None:
        held, self._held = self._held or (), None
        for chunk in held:
            self._pass_on(chunk)
        if self._is_ended:
            self._on_end()  # again: the first call came before this audio

    def _pass_on(self, chunk: AudioChunk) -> None:
        self._on_chunk(replace(chunk, pts=self._next_pts))
        self._next_pts += chunk.duration
