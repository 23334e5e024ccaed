"""Changes to the DTLS handshake of aiortc 1.16, each with its reason and line."""

import asyncio
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile
from OpenSSL import SSL

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
)
"""aiortc's own (rtcdtlstransport.py:230), and the same for clients with an RSA certificate, such as GStreamer 1.22."""

REPETITIONS = (0.05, 0.1, 0.2, 0.4)
"""Seconds after which a datagram of the handshake is sent again while nothing comes back, each after the one before.

OpenSSL waits 1 s. A client that waits for the server's first message throws it away when it comes before its own ICE
has connected: without this ffmpeg takes 1 s to connect. libwebrtc begins with 50 ms too, and RFC 6347 section 4.2.4.1
allows it.
"""

_create_ssl_context = RTCCertificate._create_ssl_context


def _create_context(self: RTCCertificate, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
    context = _create_ssl_context(self, srtp_profiles)
    context.set_cipher_list(":".join(CIPHERS).encode())
    return context


RTCCertificate._create_ssl_context = _create_context  # type: ignore[method-assign]


class HandshakeRepeater:
    """Sends datagrams of one handshake again, soon. Create it before the handshake begins."""

    def __init__(self, transport: RTCDtlsTransport):
        inside: Any = transport
        self._ice: Any = transport.transport
        self._handshake = inside._do_handshake
        self._receive = self._ice._recv
        self._send = self._ice._send
        self._datagram = b""  # the last one sent, until something is received
        self._is_new = asyncio.Event()
        inside._do_handshake = self._run

    async def _run(self) -> None:
        # rtcdtlstransport.py:420: all that is sent and received meanwhile is the handshake's.
        self._ice._recv, self._ice._send = self._on_receive, self._on_send
        repeating = asyncio.create_task(self._repeat())
        try:
            await self._handshake()
        finally:
            repeating.cancel()
            self._ice._recv, self._ice._send = self._receive, self._send

    async def _on_receive(self) -> bytes:
        data: bytes = await self._receive()
        self._datagram = b""
        return data

    async def _on_send(self, data: bytes) -> None:
        self._datagram = data
        self._is_new.set()
        await self._send(data)

    async def _repeat(self) -> None:
        while True:
            await self._is_new.wait()
            self._is_new.clear()
            datagram = self._datagram
            for pause in REPETITIONS:
                await asyncio.sleep(pause)
                if self._datagram is not datagram:
                    break
                try:
                    await self._send(datagram)
                except ConnectionError:
                    return  # closed meanwhile
