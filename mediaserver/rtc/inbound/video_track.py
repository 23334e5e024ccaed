"""One incoming video section: decoded while it shows the screen, dropped undecoded otherwise."""

import time
from collections.abc import Callable, Iterable, Mapping

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from mediaserver.caller import network_of
from mediaserver.rtc.aiortc_patches.media import BandwidthEstimator, VideoTap
from mediaserver.rtc.aiortc_patches.receivers import VideoReceiverHook
from mediaserver.rtc.decoder_budget import DECODERS
from mediaserver.rtc.inbound.video_frame import screen_frame
from mediaserver.rtc.throttle import Throttle
from pipeline.errors import FrameError
from pipeline.media import ScreenFrame

_FAULT_PERIOD = 10.0
_STALL = 2.0
"""Seconds of packets without a decoded frame, after which a key frame is taken for lost."""

_KEYFRAME_WAIT = 3.0
"""Seconds without fault reports after a video is shown again, as it awaits a key frame."""


def choose_screen(mids: Iterable[str], names: Mapping[str, str]) -> str | None:
    """Choose the video that shows the screen: the first of that name, else the first without a name."""
    known = list(mids)
    for name in ("screen", None):
        for mid in known:
            if names.get(mid) == name:
                return mid
    return None


class InboundVideoTrack:
    """Passes on decoded frames while shown; reports a fault at most every 10 s."""

    def __init__(
        self,
        mid: str,
        receiver: RTCRtpReceiver,
        *,
        on_frame: Callable[[ScreenFrame], None],
        on_pause: Callable[[], None],
        on_fault: Callable[[FrameError], None],
        on_encoded: Callable[[str, bytes, int], None] = lambda *_: None,
        estimate: BandwidthEstimator,
    ):
        self.mid = mid
        self.is_shown = False
        self.is_forwarded = False
        self._track = receiver.track
        self._intake = VideoReceiverHook(
            receiver,
            on_fault=self._on_undecodable,
            on_oversized=self._on_oversized,
            on_bye=self._on_bye,
            claim=self._claim,
        )
        self._network = ""
        self._tap = VideoTap(receiver, on_frame=on_encoded)
        estimate.include(receiver)
        self._faults = Throttle(_FAULT_PERIOD)
        self._requests = Throttle(_STALL)
        self._on_frame = on_frame
        self._on_pause = on_pause
        self._on_fault = on_fault
        self._decoded_at = time.monotonic()
        self._packets = 0
        self._was_hidden = False

    async def run(self) -> None:
        """Read frames until the track ends; never blocks elsewhere, as aiortc's queue is unbounded."""
        try:
            while True:
                frame = await self._track.recv()
                if self.is_shown and isinstance(frame, VideoFrame):
                    self._push_frame(frame)
        except MediaStreamError:
            return
        finally:
            self._release()

    async def run_nack(self) -> None:
        """Repeat NACKs for lost packets; ends only by cancellation."""
        await self._tap.run_nack()

    async def request_keyframe(self) -> None:
        """Request a key frame from the client."""
        await self._tap.request_keyframe()

    def forward(self, is_forwarded: bool) -> None:
        """Pass the codec, data and RTP time of each encoded frame to `on_encoded`, shown or not."""
        self.is_forwarded = is_forwarded
        self._enable()

    def show(self, is_shown: bool) -> None:
        """Start or stop decoding this video."""
        if is_shown and self._was_hidden:
            self._faults.hold(time.monotonic() + _KEYFRAME_WAIT)
        self._was_hidden = not is_shown
        self.is_shown = is_shown
        if not is_shown:
            self._release()
        self._enable()

    async def check_health(self, now: float) -> None:
        """Request a key frame when packets bring no decoded frame; report a failed decoder."""
        if self._intake.is_broken:
            self._intake.enable(False)
            self._report_undecodable(
                FrameError("The screen's decoder failed; share the screen again.", where="rtc"), now
            )
            return
        packets, self._packets = self._packets, self._intake.packets
        if self._packets == packets or not self.is_shown:
            self._decoded_at = now
        elif now - self._decoded_at > _STALL and self._requests.allow(now):
            await self._intake.request_keyframe()

    def end(self) -> bool:
        """End `run` soon; False if it must be cancelled, because no video was ever received."""
        self._release()
        return self._intake.end()

    def _enable(self) -> None:
        self._tap.is_decoded = self.is_shown
        is_on = self.is_shown or self.is_forwarded
        self._intake.enable(is_on)
        self._tap.turn(is_on)

    def _push_frame(self, frame: VideoFrame) -> None:
        self._decoded_at = time.monotonic()
        try:
            screen = screen_frame(frame, self._decoded_at)
        except FrameError as error:
            self._report_undecodable(error, self._decoded_at)
            return
        self._on_frame(screen)

    def _claim(self, pixels: int) -> bool:
        # By the address that media comes from: behind a reverse proxy all requests come from one.
        network = network_of(self._intake.remote_address)
        if network != self._network:
            self._release()
            self._network = network
        return DECODERS.claim(network, self, pixels)

    def _release(self) -> None:
        DECODERS.release(self._network, self)

    def _on_bye(self) -> None:
        if self.is_shown:
            self._on_pause()

    def _on_undecodable(self) -> None:
        self._report_undecodable(
            FrameError("The shared screen's video cannot be decoded.", where="rtc"), time.monotonic()
        )

    def _on_oversized(self, reason: str) -> None:
        self._report_undecodable(
            FrameError(f"The shared screen's video is refused: {reason}.", where="rtc"), time.monotonic()
        )

    def _report_undecodable(self, error: FrameError, now: float) -> None:
        if self._faults.allow(now):
            self._on_fault(error)
