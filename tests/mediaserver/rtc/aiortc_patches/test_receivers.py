"""What keeps aiortc's insides in hand."""

import asyncio
import random
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCRtpReceiver
from aiortc.codecs import CODECS
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack

from mediaserver.rtc.aiortc_patches.media import BandwidthEstimator
from mediaserver.rtc.aiortc_patches.receivers import (
    MAX_BACKLOG,
    MidRouter,
    VideoReceiverHook,
    _BoundedQueue,
    refuse_other_versions,
)
from mediaserver.rtc.config import Config, IceServer
from mediaserver.rtc.inbound.video_track import InboundVideoTrack, choose_screen
from mediaserver.rtc.sdp.offer import OfferError, parse_offer
from mediaserver.webrtc.peer import RtcPeer
from pipeline.errors import ProtocolError
from tests.support.offers import CHROME
from tests.support.rtc_harness import FakeConversation
from tests.support.video_frames import vp8_keyframe


def test_an_aiortc_whose_insides_were_not_read_is_refused() -> None:
    refuse_other_versions("1.16.3")
    with pytest.raises(ImportError, match=r"1\.17\.0 is installed"):
        refuse_other_versions("1.17.0")


def frame(data: bytes = b"data", codec: str = "VP9") -> tuple[Any, Any]:
    return (SimpleNamespace(name=codec), SimpleNamespace(data=data))


def test_a_decoder_that_cannot_keep_up_starts_anew_and_asks_for_a_key_frame() -> None:
    overruns: list[bool] = []
    inbox = _BoundedQueue(lambda: overruns.append(True))
    for _ in range(MAX_BACKLOG + 3):
        inbox.put(frame())
    assert inbox.qsize() == 3
    assert overruns == [True]


def test_empty_frames_never_reach_a_decoder() -> None:
    inbox = _BoundedQueue(lambda: None)
    inbox.put(frame(b""))
    inbox.put(None)
    assert inbox.get_nowait() is None


def test_a_key_frame_beyond_the_budget_of_its_sender_is_refused_with_all_that_refers_to_it() -> None:
    reasons: list[str] = []
    claims: list[int] = []

    def claim(pixels: int) -> bool:
        claims.append(pixels)
        return pixels < 1_000_000

    inbox = _BoundedQueue(lambda: None, reasons.append, claim)
    small, large, interframe = vp8_keyframe(640, 480), vp8_keyframe(1920, 1080), b"\x01" + bytes(9)
    for data in (small, interframe, large, interframe, small):
        inbox.put(frame(data, "VP8"))
    assert [inbox.get_nowait()[1].data for _ in range(inbox.qsize())] == [small, interframe, small]
    assert claims == [307_200, 2_073_600, 307_200]
    assert reasons == ["1920x1080 pixels; the videos from your address have 16000000 together at most"]


def test_frames_too_large_for_a_decoder_are_refused_until_a_key_frame_that_is_not() -> None:
    reasons: list[str] = []
    inbox = _BoundedQueue(lambda: None, reasons.append)
    small, interframe = vp8_keyframe(640, 480), b"\x01" + bytes(9)
    for data in (small, vp8_keyframe(16_383, 16_383), interframe, b"\x10cut", interframe, small, interframe):
        inbox.put(frame(data, "VP8"))
    taken = [inbox.get_nowait()[1].data for _ in range(inbox.qsize())]
    assert taken == [small, small, interframe]
    assert reasons == [
        "16383x16383 pixels; 16000000 are accepted",
        "a VP8 key frame is shorter than its header",
    ]


class SlowDecoder:
    """Decodes until it is let go."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()
        self.was_released = False

    def decode(self, encoded: object) -> list[object]:
        self.entered.set()
        self.was_released = self.release.wait(10)
        return []


@pytest.mark.parametrize("is_disconnected", [False, True])
async def test_a_receiver_that_stops_leaves_the_loop_free_while_its_decoder_works(
    monkeypatch: pytest.MonkeyPatch, is_disconnected: bool
) -> None:
    decoder = SlowDecoder()
    monkeypatch.setattr("aiortc.rtcrtpreceiver.get_decoder", lambda _: decoder)
    transport: Any = SimpleNamespace(
        state="connected", _register_rtp_receiver=lambda *_: None, _unregister_rtp_receiver=lambda _: None
    )
    receiver: Any = RTCRtpReceiver("video", transport)
    receiver._track = RemoteStreamTrack("video")
    hook = VideoReceiverHook(receiver, on_fault=lambda: None, on_oversized=lambda _: None, on_bye=lambda: None)
    await receiver.receive(RTCRtpReceiveParameters(codecs=CODECS["video"][:1]))
    thread = hook._thread
    assert thread is not None
    hook._inbox.put((SimpleNamespace(name="VP8", mimeType="video/VP8"), SimpleNamespace(data=vp8_keyframe(64, 64))))
    await asyncio.to_thread(decoder.entered.wait, 10)
    # A join on the loop would keep it from this.
    asyncio.get_running_loop().call_later(0.01, decoder.release.set)
    if is_disconnected:
        receiver._handle_disconnect()
        assert not hook.is_broken
        assert not hook.end()
    await receiver.stop()
    assert decoder.was_released
    assert not thread.is_alive()


def packet(ssrc: int, mid: str | None) -> Any:
    return SimpleNamespace(ssrc=ssrc, payload_type=96, extensions=SimpleNamespace(mid=mid))


def test_packets_are_routed_by_mid_until_their_ssrc_is_known() -> None:
    router = MidRouter()
    first: Any = object()
    second: Any = object()
    router.register_receiver(first, [], [96], "1")
    router.register_receiver(second, [], [96], "2")
    assert router.route_rtp(packet(7, None)) is None
    assert router.route_rtp(packet(7, "2")) is second
    assert router.route_rtp(packet(7, None)) is second
    assert router.route_rtp(packet(8, "3")) is None


@pytest.mark.parametrize(
    ("names", "screen"),
    [
        ({}, "1"),
        ({"2": "screen"}, "2"),
        ({"1": "camera"}, "2"),
        ({"1": "camera", "2": "camera"}, None),
        ({"9": "screen"}, "1"),
    ],
)
def test_the_screen_is_the_video_named_so_else_the_first_without_a_name(names: dict[str, str], screen: str) -> None:
    assert choose_screen(["1", "2"], names) == screen


async def test_a_key_frame_is_asked_for_when_packets_come_but_no_picture() -> None:
    sent: list[int] = []

    async def send_pli(ssrc: int) -> None:
        sent.append(ssrc)

    stream = SimpleNamespace(packets_received=0)
    table: dict[int, object] = {8: None}
    transport: Any = SimpleNamespace(state="connected", _rtp_router=SimpleNamespace(ssrc_table=table))
    receiver: Any = RTCRtpReceiver("video", transport)
    table[7] = receiver
    receiver._send_rtcp_pli = send_pli
    receiver._RTCRtpReceiver__remote_streams = {7: stream}
    video = InboundVideoTrack(
        "1",
        receiver,
        on_frame=lambda _: None,
        on_pause=lambda: None,
        on_fault=lambda _: None,
        estimate=BandwidthEstimator(),
    )
    video.show(True)
    start = asyncio.get_running_loop().time()
    for second in range(1, 5):
        await video.check_health(start + second)
    assert not sent
    for second in range(5, 10):
        stream.packets_received += 3
        await video.check_health(start + second)
    assert sent == [7, 7]


async def test_only_stun_servers_are_asked_by_us() -> None:
    servers = (IceServer(("stun:192.0.2.1", "turn:192.0.2.1"), "user", "secret"), IceServer(("turns:192.0.2.2",)))
    peer = RtcPeer(FakeConversation(), parse_offer(CHROME), config=Config(servers), on_closed=lambda: None)
    configuration: Any = peer._connection.raw
    assert [server.urls for server in configuration._RTCPeerConnection__configuration.iceServers] == [
        ["stun:192.0.2.1"]
    ]
    await peer.close()


def mangled(seed: int) -> str:
    """An offer with a few lines gone, doubled or moved."""
    dice = random.Random(seed)
    lines = CHROME.split("\r\n")
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(1, len(lines))
        change = dice.choice(["cut", "double", "swap", "digit"])
        if change == "cut":
            del lines[at]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "swap":
            other = dice.randrange(1, len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = "".join(dice.choice("0123456789") if sign.isdigit() else sign for sign in lines[at])
    return "\r\n".join(lines)


async def test_an_offer_that_was_accepted_is_answered_or_refused_and_leaves_nothing() -> None:
    answered = 0
    for seed in range(150):
        try:
            offer = parse_offer(mangled(seed))
        except ProtocolError:
            continue
        peer = RtcPeer(FakeConversation(), offer, config=Config(), on_closed=lambda: None)
        try:
            assert (await peer.answer()).startswith("v=0")
            answered += 1
        except OfferError:
            assert peer.is_over
        await peer.close()
    assert answered > 40
