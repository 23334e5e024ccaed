"""ICE and DTLS by aiortc, media past it: the one file of the bench that touches private parts of aiortc and aioice.

aiortc 1.16 and aioice 0.13 as `mediaserver/rtc/aiortc_patches/receivers.py` checks them. Their media classes would cost
the load client as much as the server that it measures, so only the connection is theirs.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pylibsrtp
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from aiortc.sdp import MediaDescription, SessionDescription, candidate_to_sdp

from bench.rtp import is_rtcp

FAILED = (ConnectionError, pylibsrtp.Error)


class Transport:
    """One connection to the server; `offer` and `connect` once, then `send` as often as wanted.

    `on_rtp` and `on_rtcp` are given unprotected packets in the moment their datagram is read from the socket.
    """

    def __init__(
        self, certificate: RTCCertificate, *, on_rtp: Callable[[bytes], None], on_rtcp: Callable[[bytes], None]
    ):
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._gatherer = RTCIceGatherer(iceServers=[])
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [certificate])
        # rtcpeerconnection.py:829: who offers controls. There is no public way to say it without a peer connection.
        self._ice._connection.ice_controlling = True
        self._ice._role_set = True
        self.bad_packets = 0

    async def offer(self, media: Sequence[Sequence[str]]) -> str:
        """An SDP offer of these sections, each a list of its lines, with all our candidates."""
        await self._gatherer.gather()
        ice, dtls = self._gatherer.getLocalParameters(), self._dtls.getLocalParameters()
        fingerprint = next(print_ for print_ in dtls.fingerprints if print_.algorithm == "sha-256")
        common = [
            "c=IN IP4 0.0.0.0",
            "a=rtcp-mux",
            f"a=ice-ufrag:{ice.usernameFragment}",
            f"a=ice-pwd:{ice.password}",
            f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
            "a=setup:actpass",
        ]
        candidates = [f"a=candidate:{candidate_to_sdp(one)}" for one in self._gatherer.getLocalCandidates()]
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(str(mid) for mid in range(len(media))))
        for mid, section in enumerate(media):
            lines += [section[0], *common, f"a=mid:{mid}", *section[1:], *([] if mid else candidates)]
        return "\r\n".join(lines) + "\r\n"

    async def connect(self, answer: str) -> None:
        """Follow the answer until media can flow; raises ConnectionError when it cannot."""
        media: MediaDescription = SessionDescription.parse(answer).media[0]
        assert media.ice is not None
        assert media.dtls is not None
        for candidate in media.ice_candidates:
            await self._ice.addRemoteCandidate(candidate)
        await self._ice.addRemoteCandidate(None)
        await self._ice.start(media.ice)
        if self._ice.state != "completed":
            raise ConnectionError("ICE found no way to the server")
        self._dtls._set_role("server" if media.dtls.role == "client" else "client")
        await self._dtls.start(media.dtls)
        if self._dtls.state != "connected":
            raise ConnectionError("DTLS failed")
        self._take_socket()

    @property
    def is_connected(self) -> bool:
        """Whether the server is still there, as far as ICE's consent and DTLS say."""
        return self._dtls.state == "connected" and self._ice.state == "completed"

    def send_rtp(self, packet: bytes) -> None:
        """Protect and send one packet now; raises one of `FAILED`."""
        self._send(self._protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """Protect and send one compound packet now; raises one of `FAILED`."""
        self._send(self._protect_rtcp(packet))

    async def close(self) -> None:
        """Hang up."""
        await self._dtls.stop()
        await self._ice.stop()

    def _take_socket(self) -> None:
        # aioice/ice.py:284 parses every datagram as STUN first, and a queue and a task stand behind it (ice.py:1277,
        # rtcdtlstransport.py:604). Media is taken off before that; STUN and DTLS go on to where they went.
        pair = self._ice._connection._nominated[1]
        protocol: Any = pair.protocol
        self._others = protocol.datagram_received
        protocol.datagram_received = self._on_datagram
        self._socket: asyncio.DatagramTransport = protocol.transport
        self._address = pair.remote_addr
        # rtcdtlstransport.py:466: made by the handshake, kept nowhere else.
        self._protect = self._dtls._tx_srtp.protect
        self._protect_rtcp = self._dtls._tx_srtp.protect_rtcp
        self._unprotect = self._dtls._rx_srtp.unprotect
        self._unprotect_rtcp = self._dtls._rx_srtp.unprotect_rtcp

    def _send(self, data: bytes) -> None:
        self._socket.sendto(data, self._address)

    def _on_datagram(self, data: bytes, address: tuple[Any, ...]) -> None:
        if not data or not 127 < data[0] < 192:  # RFC 7983 section 7
            self._others(data, address)
            return
        try:
            if is_rtcp(data):
                self._on_rtcp(self._unprotect_rtcp(data))
            else:
                self._on_rtp(self._unprotect(data))
        except pylibsrtp.Error:
            self.bad_packets += 1
