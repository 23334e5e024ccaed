"""One incoming audio section as the user's microphone."""

import asyncio
import time
from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from mediaserver.rtc.aiortc_private import Intake
from mediaserver.rtc.continuity import Continuity
from mediaserver.rtc.frames import mono, stamp
from mediaserver.rtc.throttle import Throttle
from pipeline.errors import AudioError
from pipeline.media import AudioChunk

_FAULT_PERIOD = 10.0
_POLL = 0.5


class Microphone:
    """Gives gapless mono chunks; a fault at most every 10 s."""

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        *,
        lull: float,
        on_chunk: Callable[[AudioChunk], None],
        on_fault: Callable[[AudioError], None],
    ):
        self._track = receiver.track
        self._intake = Intake(receiver, on_fault=self._on_undecodable, on_bye=lambda: None)
        self._continuity = Continuity(grace=lull)
        self._faults = Throttle(_FAULT_PERIOD)
        self._on_chunk = on_chunk
        self._on_fault = on_fault

    async def run(self) -> None:
        """Take audio until the track ends; aiortc's queue has no bound, so nothing here waits for anything else."""
        while True:
            try:
                frame = await self._track.recv()
            except MediaStreamError:
                return
            if isinstance(frame, AudioFrame):
                self._hear(frame)

    async def keep_time(self) -> None:
        """Feed silence while no audio comes."""
        while True:
            due = self._continuity.due
            await asyncio.sleep(_POLL if due is None else max(due - time.monotonic(), 0.01))
            for chunk in self._continuity.lull(time.monotonic()):
                self._on_chunk(chunk)

    async def tend(self, now: float) -> None:
        """Notice a decoder that has died."""
        if self._intake.is_broken:
            self._intake.enable(False)
            self._complain(
                AudioError("The microphone's decoder failed; reconnect to be heard again.", where="rtc"), now
            )

    def end(self) -> bool:
        """Let `run` end soon; False if it must be cancelled, as no audio has ever been received."""
        return self._intake.end()

    def _hear(self, frame: AudioFrame) -> None:
        now = time.monotonic()
        try:
            pcm, start = mono(frame), stamp(frame)
        except AudioError as error:
            self._complain(error, now)
            return
        for chunk in self._continuity.push(pcm, frame.sample_rate, start, now):
            self._on_chunk(chunk)

    def _on_undecodable(self) -> None:
        self._complain(AudioError("The microphone's audio cannot be decoded.", where="rtc"), time.monotonic())

    def _complain(self, error: AudioError, now: float) -> None:
        if self._faults.passes(now):
            self._on_fault(error)
