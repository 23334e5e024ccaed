"""Tasks that read the inbound tracks."""

import asyncio
import time
from collections.abc import Callable

from mediaserver.rtc.inbound.audio_track import InboundAudioTrack
from mediaserver.rtc.inbound.video_track import InboundVideoTrack

Source = InboundAudioTrack | InboundVideoTrack

_DRAIN_DEADLINE = 1.0


class TrackReaders:
    """Reads tracks in a task group, and calls `on_ended` for each that ends by itself."""

    def __init__(self, group: asyncio.TaskGroup, *, on_ended: Callable[[Source], None]):
        self._group = group
        self._on_ended = on_ended
        self._tasks: dict[Source, list[asyncio.Task[None]]] = {}

    def start(self, source: Source) -> None:
        """Read a track until it ends."""
        self._tasks[source] = [
            self._group.create_task(self._drain(source)),
            self._group.create_task(source.run_clock() if isinstance(source, InboundAudioTrack) else source.run_nack()),
        ]

    async def check_health(self) -> None:
        """Check every track; call it about once a second."""
        now = time.monotonic()
        for source in [*self._tasks]:
            await source.check_health(now)

    async def end(self, *sources: Source) -> None:
        """End these tracks, or all."""
        ending = {source: self._tasks.pop(source) for source in sources or [*self._tasks]}
        drains = [tasks[0] for source, tasks in ending.items() if source.end()]
        if drains:
            await asyncio.wait(drains, timeout=_DRAIN_DEADLINE)
        for task in (task for tasks in ending.values() for task in tasks):
            task.cancel()

    async def _drain(self, source: Source) -> None:
        await source.run()
        if source in self._tasks:
            self._on_ended(source)
