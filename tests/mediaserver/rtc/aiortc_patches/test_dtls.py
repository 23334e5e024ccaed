"""DTLS with clients that are not browsers."""

import asyncio
from typing import Any

import pytest
from aiortc.rtcdtlstransport import RTCCertificate, generate_certificate
from cryptography.hazmat.primitives.asymmetric import rsa

from mediaserver.rtc.aiortc_patches.dtls import REPETITIONS, HandshakeRepeater
from tests.support.rtc_harness import Microphone, connected_peer, until
from tests.support.virtual_time import in_virtual_time


def rsa_certificate() -> RTCCertificate:
    key: Any = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return RTCCertificate(key=key, cert=generate_certificate(key))


@pytest.mark.parametrize("role", ["actpass", "active", "passive"])
async def test_a_client_with_an_rsa_certificate_connects_in_either_role(
    monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    ours, theirs = RTCCertificate.generateCertificate(), rsa_certificate()
    made = iter([theirs, ours])
    monkeypatch.setattr(RTCCertificate, "generateCertificate", classmethod(lambda _: next(made)))

    def edit(sdp: str) -> str:
        return sdp.replace("a=setup:actpass", f"a=setup:{role}")

    async with connected_peer(Microphone(), edit=edit) as here:
        await until(lambda: here.conversation.chunks)
        assert here.client._RTCPeerConnection__certificates == [theirs]  # type: ignore[attr-defined]


class Network:
    """A transport whose far end answers once `lost` datagrams were lost."""

    def __init__(self, lost: int):
        self.sent: list[float] = []
        self.transport = self
        self._lost = lost
        self._answer = asyncio.Event()

    async def _send(self, data: bytes) -> None:
        self.sent.append(asyncio.get_running_loop().time())
        if len(self.sent) > self._lost:
            self._answer.set()

    async def _recv(self) -> bytes:
        await self._answer.wait()
        return b"hello"

    async def _do_handshake(self) -> None:
        await self._send(b"hello?")
        await self._recv()


@pytest.mark.parametrize("lost", [0, 1, 3])
@in_virtual_time
async def test_the_first_datagram_is_sent_again_soon_until_there_is_an_answer(lost: int) -> None:
    network: Any = Network(lost)
    HandshakeRepeater(network)
    await network._do_handshake()
    ended = asyncio.get_running_loop().time()
    await asyncio.sleep(5)
    begun = network.sent[0]
    assert [at - begun for at in network.sent] == pytest.approx([sum(REPETITIONS[:at]) for at in range(lost + 1)])
    assert ended - begun == pytest.approx(sum(REPETITIONS[:lost]))


@in_virtual_time
async def test_a_far_end_that_never_answers_is_sent_few_datagrams() -> None:
    network: Any = Network(lost=100)
    HandshakeRepeater(network)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await network._do_handshake()
    assert len(network.sent) == 1 + len(REPETITIONS)
