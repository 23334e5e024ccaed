"""One RTCPeerConnection with all that keeps aiortc in hand: candidates, routing, signs of life, hanging up."""

import asyncio
import time
from collections.abc import Callable

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidStateError, OperationError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from loguru import logger

from mediaserver.rtc.aiortc_patches.media import BandwidthEstimator, route_by_mid
from mediaserver.rtc.aiortc_patches.receivers import ConnectTask, LivenessMonitor, end_consent
from mediaserver.rtc.aiortc_patches.transceivers import Reassembly
from mediaserver.rtc.config import Config
from mediaserver.rtc.sdp.candidates import MAX_CANDIDATES, is_mdns, parse_candidate

REFUSALS = (ValueError, InternalError, InvalidStateError, OperationError)
"""What aiortc raises for a description it cannot take."""

_MDNS_DEADLINE = 2.0
_CLOSE_DEADLINE = 5.0


class Connection:
    """Takes descriptions and candidates in any order that a client may send them; ends when it is hung up."""

    def __init__(
        self, config: Config, *, on_state: Callable[[str], None], on_channel: Callable[[RTCDataChannel], None]
    ):
        urls = [url for server in config.ice_servers for url in server.urls if url.startswith("stun:")]
        # An empty list is not None, for which aiortc would ask a public STUN server (rtcicetransport.py:215).
        self.raw = RTCPeerConnection(
            RTCConfiguration([RTCIceServer(urls)] if urls else [], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self.raw.on("connectionstatechange", self._on_state)
        self.raw.on("datachannel", on_channel)
        self.estimate = BandwidthEstimator()
        self.connected_at: float | None = None
        self._tell_state = on_state
        self._limits = config.limits
        self._connecting = ConnectTask(self.raw)
        self._pulse: LivenessMonitor | None = None
        self._described_at: float | None = None
        self._group: asyncio.TaskGroup | None = None
        self._candidates: dict[tuple[str, int], RTCIceCandidate] = {}
        self._reached = 0
        self._reassembly: Reassembly | None = None
        self._is_hung_up = False

    # Descriptions.

    async def apply_remote(self, sdp: str, kind: str) -> None:
        """Take the far end's offer or answer. Raises one of `REFUSALS`."""
        await self.raw.setRemoteDescription(RTCSessionDescription(sdp, kind))
        if self.raw.sctp is not None and self._reassembly is None:
            self._reassembly = Reassembly(self.raw.sctp)
        self._secure()
        self._reach_all()

    async def answer(self) -> str:
        """Answer what was taken, with all our candidates. Raises one of `REFUSALS`."""
        await self.raw.setLocalDescription(await self.raw.createAnswer())
        return self._described()

    async def offer(self) -> str:
        """Offer what stands in the transceivers, with all our candidates. Raises one of `REFUSALS`."""
        await self.raw.setLocalDescription(await self.raw.createOffer())
        return self._described()

    def section(self, mid: str) -> RTCRtpTransceiver:
        """The transceiver of a media section that has been taken."""
        return next(transceiver for transceiver in self.raw.getTransceivers() if transceiver.mid == mid)

    @property
    def transport(self) -> RTCDtlsTransport:
        """The one transport of a bundled connection that has been described."""
        transceivers = self.raw.getTransceivers()
        if transceivers:
            return transceivers[0].receiver.transport
        sctp = self.raw.sctp
        assert sctp is not None
        return sctp.transport

    # Candidates.

    def open(self, group: asyncio.TaskGroup) -> None:
        """Reach for candidates from now on, in tasks of `group`."""
        self._group = group
        self._reach_all()

    def add_candidate(self, text: str) -> None:
        """Take a candidate, which waits until there is a description. Raises `ProtocolError`."""
        candidate = parse_candidate(text)
        if candidate is None or len(self._candidates) >= MAX_CANDIDATES:
            return
        # Every offer names them again; aioice would check each anew.
        self._candidates.setdefault((candidate.ip, candidate.port), candidate)
        self._reach_all()

    def _reach_all(self) -> None:
        if self._group is None or self._pulse is None or self._is_hung_up:
            return
        for candidate in [*self._candidates.values()][self._reached :]:
            self._reached += 1
            self._group.create_task(self._reach(candidate))

    async def _reach(self, candidate: RTCIceCandidate) -> None:
        # aioice asks the network for an mDNS name and waits up to 1 s: each has its own task, so none blocks another.
        try:
            async with asyncio.timeout(_MDNS_DEADLINE if is_mdns(candidate) else None):
                await self.transport.transport.addRemoteCandidate(candidate)
        except (OSError, ValueError, TimeoutError):
            return  # no multicast here, or nobody of that name: other candidates remain

    # Life.

    def failure_reason(self, now: float) -> str | None:
        """Say what is wrong at `now` (monotonic clock, s), if the far end is not there."""
        if self.connected_at is None:
            if self._described_at is not None and now - self._described_at > self._limits.connect:
                return "never connected"
        elif self._pulse is not None and now - self._pulse.last > self._limits.silence:
            return "nothing heard any more"
        return None

    async def close(self) -> None:
        """Close, and wait until nothing is left; may be called more than once."""
        if self._is_hung_up:
            return
        self._is_hung_up = True
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self.raw.close()
            await self._connecting.settle()
            # rtcpeerconnection.py:1057: a connection that was about to stand starts senders after they were stopped.
            for transceiver in self.raw.getTransceivers():
                await transceiver.stop()
            if self._pulse is not None:
                end_consent(self.transport.transport)
        except TimeoutError:
            logger.warning("peer connection did not close in time")

    def _described(self) -> str:
        if self._described_at is None:
            self._described_at = time.monotonic()
        self._secure()
        return self.raw.localDescription.sdp

    def _secure(self) -> None:
        # Once there is a transport; BUNDLE has left the one that stays.
        if self._pulse is None:
            route_by_mid(self.transport)
            self._pulse = LivenessMonitor(self.transport.transport)

    def _on_state(self) -> None:
        state = self.raw.connectionState
        if state == "connected" and self.connected_at is None:
            self.connected_at = time.monotonic()
        self._tell_state(state)
