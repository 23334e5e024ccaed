"""The bound on ICE checks."""

from collections import Counter
from typing import Any

import pytest
from aioice import stun
from aioice.candidate import Candidate
from aioice.ice import CandidatePair, Connection
from aiortc.rtcicetransport import RTCIceTransport

from mediaserver.rtc.aiortc_patches.ice_checks import MAX_CHECKS, MAX_SENDERS, CheckLimiter

Address = tuple[str, int]


class FakeSocket:
    """A local candidate whose STUN requests go nowhere, counted by destination; retransmissions need no time."""

    def __init__(self, address: str) -> None:
        self.sent = Counter[Address]()
        self.local_candidate = Candidate(
            foundation="1", component=1, transport="udp", priority=1, host=address, port=5000, type="host"
        )

    async def request(self, message: stun.Message, addr: Address, integrity_key: bytes | None = None) -> None:
        del message, integrity_key
        self.sent[addr] += 1 + stun.RETRY_MAX
        raise stun.TransactionTimeout


class IceHarness:
    """An ICE connection with two local addresses and a limiter."""

    def __init__(self) -> None:
        self.connection = Connection(ice_controlling=False)
        self.connection.remote_username, self.connection.remote_password = "user", "password" * 4
        self.sockets = [FakeSocket("192.0.2.1"), FakeSocket("192.0.2.2")]
        self.connection._protocols = list[Any](self.sockets)
        transport: Any = RTCIceTransport.__new__(RTCIceTransport)
        transport._connection = self.connection
        CheckLimiter(transport)

    @property
    def sent(self) -> Counter[Address]:
        return self.sockets[0].sent + self.sockets[1].sent

    async def offer(self, *addresses: str) -> None:
        """Add the client's candidates, and run all checks."""
        for number, address in enumerate(addresses):
            candidate = f"{number} 1 udp 1 {address} 9000 typ host"
            await self.connection.add_remote_candidate(Candidate.from_sdp(candidate))
        self.connection._early_checks_done = True
        await self.check()

    async def check(self) -> None:
        """Start checks as `connect` does, but without a pause, until none is left to start."""
        while any(pair.state in (pair.State.FROZEN, pair.State.WAITING) for pair in self.pairs):
            self.connection._check_periodic()
            await self.wait()

    async def wait(self) -> None:
        for task in [pair.task for pair in self.pairs if pair.task is not None]:
            await task

    async def knock(self, address: str) -> None:
        """Receive an authenticated check of the client from this address."""
        message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        message.attributes["PRIORITY"] = 1
        self.connection.check_incoming(message, (address, 9000), self.connection._protocols[0])
        await self.wait()

    @property
    def pairs(self) -> list[CandidatePair]:
        return self.connection._check_list


async def test_forty_addresses_get_no_more_datagrams_than_the_bound() -> None:
    ice = IceHarness()
    await ice.offer(*(f"198.51.100.{number}" for number in range(40)))
    assert len(ice.pairs) == 80
    assert ice.sent.total() == MAX_CHECKS * 4 == 96


async def test_a_client_that_knocks_is_checked_though_the_bound_is_reached() -> None:
    ice = IceHarness()
    await ice.offer(*(f"198.51.100.{number}" for number in range(40)))
    await ice.knock("203.0.113.5")
    assert ice.sent["203.0.113.5", 9000] == 4
    unchecked = next(pair for pair in ice.pairs if pair.remote_addr not in ice.sent)
    await ice.knock(unchecked.remote_addr[0])
    assert ice.sent[unchecked.remote_addr] == 4


async def test_forged_senders_are_few() -> None:
    ice = IceHarness()
    await ice.offer()
    for number in range(200):
        await ice.knock(f"198.51.100.{number}")
    assert len(ice.sent) == len(ice.connection.remote_candidates) == MAX_SENDERS
    assert ice.sent.total() == MAX_SENDERS * 4


async def test_a_real_transaction_is_sent_four_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stun, "RETRY_RTO", 0.001)
    sent: list[Address] = []

    class Sender:
        def send_stun(self, message: stun.Message, addr: Address) -> None:
            del message
            sent.append(addr)

    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    with pytest.raises(stun.TransactionTimeout):
        await stun.Transaction(message, ("192.0.2.1", 9), Sender()).run()
    assert sent == [("192.0.2.1", 9)] * 4
