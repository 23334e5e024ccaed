"""What a peer connection takes of a client's candidates."""

from typing import Any

from mediaserver.rtc.aiortc_patches.ice_checks import CheckLimiter
from mediaserver.rtc.config import Config
from mediaserver.rtc.peer_connection import PeerConnection
from mediaserver.rtc.sdp.candidates import MAX_CANDIDATES
from mediaserver.rtc.sdp.offer import parse_offer
from tests.support.offers import DATA_ONLY


def candidate(address: str, port: int = 9000) -> str:
    return f"candidate:1 1 udp 2113937151 {address} {port} typ host"


def connection(client: str) -> PeerConnection:
    return PeerConnection(Config(), client=client, on_state=lambda _: None, on_channel=lambda _: None)


async def test_few_candidates_of_a_client_are_taken_each_once() -> None:
    peer = connection("192.0.2.7")
    for number in range(40):
        peer.add_candidate(candidate(f"198.51.100.{number}"))
        peer.add_candidate(candidate("198.51.100.0"))
    assert [ip for ip, _ in peer._candidates] == [f"198.51.100.{number}" for number in range(MAX_CANDIDATES)]
    await peer.close()


async def test_candidates_that_are_not_checked_take_no_place() -> None:
    peer = connection("192.0.2.7")
    for number in range(40):
        peer.add_candidate(candidate("224.0.0.251", 9000 + number))
        peer.add_candidate(candidate("127.0.0.1", 9000 + number))
    peer.add_candidate(candidate("198.51.100.1"))
    assert list(peer._candidates) == [("198.51.100.1", 9000)]
    await peer.close()


async def test_the_checks_of_every_connection_are_bounded() -> None:
    peer = connection("192.0.2.7")
    await peer.apply_remote(parse_offer(DATA_ONLY).sdp, "offer")
    await peer.answer()
    ice: Any = peer.transport.transport
    assert isinstance(ice._connection.check_start.__self__, CheckLimiter)
    await peer.close()
