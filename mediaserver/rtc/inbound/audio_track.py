"""The microphone: one incoming audio section."""

import asyncio
import time
from collections.abc import Callable, Iterable

import numpy as np
from aiortc import RTCRtpReceiver

from mediaserver.rtc.aiortc_patches.receivers import AudioReceiverHook
from mediaserver.rtc.inbound.decoded_audio import DecodedAudio
from mediaserver.rtc.inbound.g711_stream import G711Stream
from mediaserver.rtc.inbound.opus_stream import OpusStream
from mediaserver.rtc.inbound.restart_detector import RestartDetector
from mediaserver.rtc.throttle import Throttle
from pipeline.audio.gap_filler import GapFiller
from pipeline.codecs.g711 import Law
from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES, AudioChunk

MAX_AHEAD = 2.0
"""Seconds of audio that may arrive faster than real time, as after a network stall; more is dropped."""

HANDOVER = 0.1
"""Seconds one SSRC must be silent before another replaces it as the microphone."""

_FAULT_PERIOD = 10.0
_POLL = 0.5
_DRIFT = 1.01  # a sender's clock may run this much faster than ours for ever


class InboundAudioTrack:
    """Decodes packets as they arrive into gapless chunks; reports a fault at most every 10 s.

    `codec` is opus, which is decoded at 16 kHz, or pcmu or pcma, which are of 8 kHz.
    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        *,
        codec: str = "opus",
        lull: float,
        on_chunk: Callable[[AudioChunk], None],
        on_fault: Callable[[AudioError], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._ended = asyncio.Event()
        self._receiver = AudioReceiverHook(receiver, on_packet=self._on_packet, on_end=self.end)
        self._gap_filler = GapFiller(grace=lull)
        self._faults = Throttle(_FAULT_PERIOD)
        self._on_chunk = on_chunk
        self._on_fault = on_fault
        self._clock = clock
        self._codec = codec
        self._stream = self._new_stream()
        self._restarts = RestartDetector()
        self._ssrc: int | None = None
        self._last_packet = float("-inf")  # clock (s)
        self._ahead = 0.0  # seconds of audio that arrived faster than real time
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None

    async def run(self) -> None:
        """Wait until the track has ended; re-raises an exception of `on_chunk` or `on_fault`."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    async def run_clock(self) -> None:
        """Feed silence while no audio arrives."""
        while True:
            due = self._gap_filler.due
            await asyncio.sleep(_POLL if due is None else max(due - self._clock(), 0.01))
            for chunk in self._gap_filler.fill_silence(self._clock()):
                self._on_chunk(chunk)

    async def check_health(self, now: float) -> None:
        """Do nothing: unlike a video decoder, no part of this can fail unnoticed."""

    def end(self) -> bool:
        """Drop all further audio; True, since `run` ends without cancellation."""
        self._receiver.close()
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()
        return True

    def _on_packet(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        now = self._clock()
        elapsed = now - self._last_packet
        if ssrc != self._ssrc:
            if elapsed < HANDOVER:
                return
            self._ssrc, self._restarts = ssrc, RestartDetector()
            self._restart()
        if self._restarts.push(sequence, now):
            self._restart()
        self._last_packet = now
        self._ahead = max(0.0, self._ahead - elapsed * _DRIFT)
        if self._ahead > MAX_AHEAD:
            self._push_audio(
                [AudioError("The microphone's audio comes faster than time; some is dropped.", where="rtc")], now
            )
        else:
            self._push_audio(self._stream.push(sequence, timestamp, payload, now), now)

    def _restart(self) -> None:
        self._stream = self._new_stream()
        self._gap_filler.restart()

    def _new_stream(self) -> OpusStream | G711Stream:
        return OpusStream() if self._codec == "opus" else G711Stream(Law(self._codec))

    def _on_due(self) -> None:
        self._timer = None
        now = self._clock()
        self._push_audio(self._stream.expire(now), now)

    def _push_audio(self, items: Iterable[DecodedAudio | AudioError], now: float) -> None:
        rate = self._stream.rate
        try:
            for item in items:
                if isinstance(item, AudioError):
                    if self._faults.allow(now):
                        self._on_fault(item)
                    continue
                self._ahead += len(item.pcm) / (SAMPLE_BYTES * rate)
                for chunk in self._gap_filler.push(np.frombuffer(item.pcm, np.int16), rate, item.stamp, now):
                    self._on_chunk(chunk)
        except Exception as error:  # `run` raises it, in the peer's task group, where everything is caught
            self._error = error
            self.end()
            return
        due = self._stream.due
        if due is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(due - now, self._on_due)
