"""One incoming audio section as the user's microphone."""

import asyncio
import time
from collections.abc import Callable, Iterable

import numpy as np
from aiortc import RTCRtpReceiver

from mediaserver.rtc.aiortc_patches.receivers import AudioReceiverHook
from mediaserver.rtc.inbound.opus_stream import DecodedAudio, OpusStream
from mediaserver.rtc.throttle import Throttle
from pipeline.audio.gap_filler import GapFiller
from pipeline.errors import AudioError
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, AudioChunk

MAX_AHEAD = 2.0
"""How much audio (s) may come faster than time passes, as after a hitch of the network; more is dropped."""

HANDOVER = 0.1
"""How long (s) nothing must have come of one SSRC before another is the microphone."""

_FAULT_PERIOD = 10.0
_POLL = 0.5
_DRIFT = 1.01  # a sender's clock may run this much faster than ours for ever


class InboundAudioTrack:
    """Gives gapless 16 kHz chunks, decoded as their packets come; a fault at most every 10 s."""

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        *,
        lull: float,
        on_chunk: Callable[[AudioChunk], None],
        on_fault: Callable[[AudioError], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._over = asyncio.Event()
        self._intake = AudioReceiverHook(receiver, on_packet=self._on_packet, on_end=self.end)
        self._continuity = GapFiller(grace=lull)
        self._faults = Throttle(_FAULT_PERIOD)
        self._on_chunk = on_chunk
        self._on_fault = on_fault
        self._clock = clock
        self._source = OpusStream()
        self._ssrc: int | None = None
        self._heard = float("-inf")  # clock at the last packet
        self._ahead = 0.0  # seconds of audio that came faster than time passed
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None

    async def run(self) -> None:
        """Wait until the microphone has ended; raises what `on_chunk` or `on_fault` raised."""
        await self._over.wait()
        if self._error is not None:
            raise self._error

    async def run_clock(self) -> None:
        """Feed silence while no audio comes."""
        while True:
            due = self._continuity.due
            await asyncio.sleep(_POLL if due is None else max(due - self._clock(), 0.01))
            for chunk in self._continuity.fill_silence(self._clock()):
                self._on_chunk(chunk)

    async def check_health(self, now: float) -> None:
        """Nothing here breaks unnoticed, as a video's decoder can."""

    def end(self) -> bool:
        """Hear nothing more; True, as `run` ends by itself."""
        self._intake.close()
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()
        return True

    def _on_packet(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        now = self._clock()
        passed = now - self._heard
        if ssrc != self._ssrc:
            if passed < HANDOVER:
                return
            self._ssrc, self._source = ssrc, OpusStream()
            self._continuity.restart()
        self._heard = now
        self._ahead = max(0.0, self._ahead - passed * _DRIFT)
        if self._ahead > MAX_AHEAD:
            self._push_audio(
                [AudioError("The microphone's audio comes faster than time; some is dropped.", where="rtc")], now
            )
        else:
            self._push_audio(self._source.push(sequence, timestamp, payload, now), now)

    def _on_due(self) -> None:
        self._timer = None
        now = self._clock()
        self._push_audio(self._source.expire(now), now)

    def _push_audio(self, sounds: Iterable[DecodedAudio | AudioError], now: float) -> None:
        try:
            for sound in sounds:
                if isinstance(sound, AudioError):
                    if self._faults.allow(now):
                        self._on_fault(sound)
                    continue
                self._ahead += len(sound.pcm) / (SAMPLE_BYTES * INPUT_SAMPLE_RATE)
                for chunk in self._continuity.push(
                    np.frombuffer(sound.pcm, np.int16), INPUT_SAMPLE_RATE, sound.stamp, now
                ):
                    self._on_chunk(chunk)
        except Exception as error:  # `run` raises it, in the peer's task group, where everything is caught
            self._error = error
            self.end()
            return
        due = self._source.due
        if due is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(due - now, self._on_due)
