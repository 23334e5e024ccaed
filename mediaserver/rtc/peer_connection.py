"""One RTCPeerConnection: descriptions, candidates, routing, liveness and closing."""

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

from mediaserver.rtc.aiortc_patches.dtls import HandshakeRepeater
from mediaserver.rtc.aiortc_patches.ice_checks import CheckLimiter
from mediaserver.rtc.aiortc_patches.media import BandwidthEstimator, route_by_mid
from mediaserver.rtc.aiortc_patches.receivers import ConnectTask, LivenessMonitor, end_consent
from mediaserver.rtc.aiortc_patches.transceivers import Reassembly
from mediaserver.rtc.config import Config
from mediaserver.rtc.sdp.candidates import MAX_CANDIDATES, is_mdns, may_be_checked, parse_candidate

REFUSALS = (ValueError, InternalError, InvalidStateError, OperationError)
"""Exceptions aiortc raises for a description it cannot apply."""

_MDNS_DEADLINE = 2.0
_CLOSE_DEADLINE = 5.0


class PeerConnection:
    """Accepts descriptions and candidates in any order, until it is closed."""

    def __init__(
        self,
        config: Config,
        *,
        client: str = "",
        on_state: Callable[[str], None],
        on_channel: Callable[[RTCDataChannel], None],
    ):
        """`client` is the IP address that the client's requests come from; "" if unknown."""
        urls = [url for server in config.ice_servers for url in server.urls if url.startswith("stun:")]
        # An empty list is not None, for which aiortc would ask a public STUN server (rtcicetransport.py:215).
        self.raw = RTCPeerConnection(
            RTCConfiguration([RTCIceServer(urls)] if urls else [], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self.raw.on("connectionstatechange", self._on_state)
        self.raw.on("datachannel", on_channel)
        self.estimate = BandwidthEstimator()
        self.connected_at: float | None = None
        self._on_state_changed = on_state
        self._client = client
        self._limits = config.limits
        self._connecting = ConnectTask(self.raw)
        self._liveness: LivenessMonitor | None = None
        self._described_at: float | None = None
        self._group: asyncio.TaskGroup | None = None
        self._candidates: dict[tuple[str, int], RTCIceCandidate] = {}
        self._tried = 0
        self._reassembly: Reassembly | None = None
        self._is_closed = False

    # Descriptions.

    async def apply_remote(self, sdp: str, kind: str) -> None:
        """Apply the far end's offer or answer. Raises one of `REFUSALS`."""
        await self.raw.setRemoteDescription(RTCSessionDescription(sdp, kind))
        if self.raw.sctp is not None and self._reassembly is None:
            self._reassembly = Reassembly(self.raw.sctp)
        self._secure()
        self._try_candidates()

    async def answer(self) -> str:
        """Answer the applied offer, with all our candidates. Raises one of `REFUSALS`."""
        await self.raw.setLocalDescription(await self.raw.createAnswer())
        return self._described()

    async def offer(self) -> str:
        """Create an offer from the transceivers, with all our candidates. Raises one of `REFUSALS`."""
        await self.raw.setLocalDescription(await self.raw.createOffer())
        return self._described()

    def section(self, mid: str) -> RTCRtpTransceiver:
        """Return the transceiver of an applied media section."""
        return next(transceiver for transceiver in self.raw.getTransceivers() if transceiver.mid == mid)

    @property
    def transport(self) -> RTCDtlsTransport:
        """The single transport of a bundled connection, once it is described."""
        transceivers = self.raw.getTransceivers()
        if transceivers:
            return transceivers[0].receiver.transport
        sctp = self.raw.sctp
        assert sctp is not None
        return sctp.transport

    # Candidates.

    def open(self, group: asyncio.TaskGroup) -> None:
        """Start ICE checks of candidates, now and as they come, in tasks of `group`."""
        self._group = group
        self._try_candidates()

    def add_candidate(self, text: str) -> None:
        """Add a candidate, kept until there is a description. Raises `ProtocolError`."""
        candidate = parse_candidate(text)
        if candidate is None or len(self._candidates) >= MAX_CANDIDATES or not may_be_checked(candidate, self._client):
            return
        # Every offer names them again; aioice would check each anew.
        self._candidates.setdefault((candidate.ip, candidate.port), candidate)
        self._try_candidates()

    def _try_candidates(self) -> None:
        if self._group is None or self._liveness is None or self._is_closed:
            return
        for candidate in [*self._candidates.values()][self._tried :]:
            self._tried += 1
            self._group.create_task(self._try_candidate(candidate))

    async def _try_candidate(self, candidate: RTCIceCandidate) -> None:
        # aioice resolves an mDNS name for up to 1 s: each candidate has its own task, so none blocks another.
        try:
            async with asyncio.timeout(_MDNS_DEADLINE if is_mdns(candidate) else None):
                await self.transport.transport.addRemoteCandidate(candidate)
        except (OSError, ValueError, TimeoutError):
            return  # no multicast here, or an unknown name: other candidates remain

    # Lifetime.

    def failure_reason(self, now: float) -> str | None:
        """Return the reason if the far end is lost at `now` (monotonic clock, s), else None."""
        if self.connected_at is None:
            if self._described_at is not None and now - self._described_at > self._limits.connect:
                return "never connected"
        elif self._liveness is not None and now - self._liveness.last > self._limits.silence:
            return "nothing heard any more"
        return None

    async def close(self) -> None:
        """Close, and wait until every task has ended; may be called more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self.raw.close()
            await self._connecting.settle()
            # rtcpeerconnection.py:1057: a connection that was about to open starts senders after they were stopped.
            for transceiver in self.raw.getTransceivers():
                await transceiver.stop()
            if self._liveness is not None:
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
        if self._liveness is None:
            route_by_mid(self.transport)
            self._liveness = LivenessMonitor(self.transport.transport)
            CheckLimiter(self.transport.transport)
            HandshakeRepeater(self.transport)

    def _on_state(self) -> None:
        state = self.raw.connectionState
        if state == "connected" and self.connected_at is None:
            self.connected_at = time.monotonic()
        self._on_state_changed(state)
