"""Offers that come again: what cannot be answered is refused section by section, and all else as a whole."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.livekit.media.publisher_connection import MAX_SECTIONS_EVER
from mediaserver.livekit.media.renegotiation import parse_renegotiable
from mediaserver.livekit.media.types import LinkState
from mediaserver.rtc.config import RtcLimits
from mediaserver.rtc.sdp.offer import RENEGOTIATION_LIMITS, OfferError
from pipeline.errors import ProtocolError
from tests.support.media_link_harness import VOICE, client
from tests.support.offers import CHROME, DATA_ONLY, mangled

VIDEO = "m=video" + CHROME.split("m=video")[1].split("m=application")[0]

SIMULCAST = CHROME.replace(
    "a=ssrc-group:FID 2222 3333\r\na=ssrc:2222 cname:qwerty\r\na=ssrc:3333 cname:qwerty\r\n",
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
    "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n"
    "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n",
)

FOREIGN = CHROME.replace(" VP8/", " H265/").replace(" H264/", " VP9/")

REFUSED = CHROME.replace("m=video 9", "m=video 0").replace("BUNDLE 0 1 2", "BUNDLE 0 2")


def sections_of(sdp: str) -> list[str]:
    return ["m=" + section for section in sdp.split("m=")[1:]]


def many(count: int) -> str:
    """Chromium's offer with so many video sections more."""
    more = "".join(VIDEO.replace("a=mid:1", f"a=mid:{10 + number}") for number in range(count))
    mids = " ".join(str(10 + number) for number in range(count))
    return CHROME.replace("BUNDLE 0 1 2", f"BUNDLE 0 1 2 {mids}") + more


def test_sections_are_told_with_the_tracks_they_carry() -> None:
    offered = parse_renegotiable(CHROME)
    assert [(section.mid, section.kind, section.sends, section.receives) for section in offered.sections] == [
        ("0", "audio", True, True),
        ("1", "video", True, False),
        ("2", "application", True, True),
    ]
    assert [section.cid for section in offered.sections] == [
        "3f1b6a2e-0000-4000-8000-000000000001",
        "3f1b6a2e-0000-4000-8000-000000000002",
        None,
    ]
    assert not any(section.is_refused for section in offered.sections)


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        ("q;h;f", "f"),
        ("h;q", "h"),
        ("f;h;q", "f"),
        ("~q;~h;f", "f"),
        ("q;h;~f", "h"),
        ("~q;~h;~f", "f"),
        ("q,h;f", "f"),
        ("unknown;q", "q"),
        ("", None),
    ],
)
def test_of_simulcast_the_largest_layer_that_is_sent_is_taken(layers: str, chosen: str | None) -> None:
    offer = SIMULCAST.replace("send q;h;f", f"send {layers}" if layers else "recv q")
    assert parse_renegotiable(offer).layers == ({} if chosen is None else {"1": chosen})


def test_layers_of_other_names_are_taken_in_their_order() -> None:
    offer = SIMULCAST.replace("a=rid:q", "a=rid:2").replace("a=rid:h", "a=rid:1").replace("q;h;f", "2;1")
    assert parse_renegotiable(offer).layers == {"1": "2"}


async def test_simulcast_is_answered_with_one_layer_and_the_extensions_that_name_it() -> None:
    async with client() as here:
        answer = await here.link.answer(SIMULCAST)
        video = sections_of(answer.sdp)[1]
        assert "a=rid:f recv\r\na=simulcast:recv f\r\n" in video
        assert "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n" in video
        assert "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n" in video


async def test_the_client_is_told_to_begin_with_enough_for_a_screen() -> None:
    async with client() as here:
        answer = await here.link.answer(CHROME)
        assert "a=fmtp:96 x-google-start-bitrate=1500\r\n" in sections_of(answer.sdp)[1]


async def test_sections_that_may_carry_simulcast_later_are_answered_with_its_extensions() -> None:
    async with client() as here:
        placeholder = SIMULCAST.replace("a=sendonly", "a=recvonly").replace("a=simulcast:send", "a=x:")
        answer = await here.link.answer(placeholder)
        assert "rtp-stream-id" in sections_of(answer.sdp)[1]


async def test_codecs_are_those_that_are_understood_and_all_of_a_room_can_show() -> None:
    async with client() as here:
        offer = CHROME.replace("SAVPF 96 97 103 104", "SAVPF 103 104 96 97").replace("mode=0", "mode=1")
        video = "m=video" + offer.split("m=video")[1]
        h264 = [line for line in video.split("\r\n") if line.startswith(("a=rtpmap:103", "a=rtpmap:104"))]
        offer = offer.replace("\r\n".join(h264) + "\r\n", "").replace(
            "a=rtpmap:96 VP8", "\r\n".join(h264) + "\r\na=rtpmap:96 VP8"
        )
        audio, video, _ = sections_of((await here.link.answer(offer)).sdp)
        assert [line for line in audio.split("\r\n") if "rtpmap" in line] == ["a=rtpmap:111 opus/48000/2"]
        assert video.startswith("m=video ")
        assert video.split("\r\n")[0].split(" ")[3:5] == ["96", "97"]


async def test_a_section_without_a_common_codec_is_refused_and_the_others_are_answered() -> None:
    async with client() as here:
        answer = await here.link.answer(FOREIGN)
        assert [section.is_refused for section in answer.sections] == [False, True, False]
        audio, video, data = sections_of(answer.sdp)
        assert "a=recvonly" in audio
        assert video.startswith("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n")
        assert "a=inactive\r\n" in video
        assert "a=rtpmap:96 H265/90000\r\n" in video
        assert "VP8" not in video
        assert "a=sctp-port" in data
        assert "a=group:BUNDLE 0 1 2\r\n" in answer.sdp
        again = await here.link.answer(FOREIGN)
        assert [section.is_refused for section in again.sections] == [False, True, False]


async def test_a_section_that_the_client_has_stopped_is_answered_as_stopped() -> None:
    async with client() as here:
        await here.link.answer(CHROME)
        assert "1" in here.link._publisher._incoming
        answer = await here.link.answer(REFUSED)
        assert "1" not in here.link._publisher._incoming
        assert "a=group:BUNDLE 0 2\r\n" in answer.sdp
        assert sections_of(answer.sdp)[1].startswith("m=video 0 UDP/TLS/RTP/SAVPF 96 97")
        assert [section.is_refused for section in answer.sections] == [False, True, False]


async def test_a_stopped_section_may_make_room_for_another() -> None:
    async with client() as here:
        await here.link.answer(CHROME)
        await here.link.answer(REFUSED)
        answer = await here.link.answer(CHROME.replace("a=mid:1", "a=mid:7").replace("BUNDLE 0 1 2", "BUNDLE 0 7 2"))
        assert "a=recvonly" in sections_of(answer.sdp)[1]
        assert list(here.link._publisher._incoming) == ["0", "7"]
        mids = [section.mid for section in here.link._publisher.connection.raw.getTransceivers()]
        assert mids == ["0", "1", "7"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda sdp: DATA_ONLY,
        lambda sdp: sdp.replace("a=mid:0", "a=mid:x").replace("a=mid:1", "a=mid:0").replace("0 1 2", "x 0 2"),
        lambda sdp: sdp.replace("a=mid:2", "a=mid:x").replace("0 1 2", "0 1 x").replace("m=application", "m=audio"),
    ],
)
async def test_a_later_offer_whose_sections_have_moved_is_refused_without_harm(edit: Callable[[str], str]) -> None:
    async with client() as here:
        here.link.speak(VOICE)
        await here.link.answer(CHROME)
        with pytest.raises(OfferError):
            await here.link.answer(edit(CHROME))
        assert here.link.state is not LinkState.FAILED
        await here.link.answer(CHROME)


async def test_a_connection_has_had_its_sections_some_day() -> None:
    async with client(limits=RtcLimits(connect=600.0)) as here:
        offers = [
            CHROME.replace("a=mid:1", f"a=mid:n{n}").replace("0 1 2", f"0 n{n} 2") for n in range(MAX_SECTIONS_EVER)
        ]
        for offer in offers[: MAX_SECTIONS_EVER - 2]:
            await here.link.answer(offer)
        with pytest.raises(OfferError, match="make a new one"):
            await here.link.answer(offers[-1])


async def test_an_offer_of_as_many_sections_as_allowed_is_answered() -> None:
    async with client() as here:
        answer = await here.link.answer(many(RENEGOTIATION_LIMITS.sections - 3))
        assert len(answer.sections) == RENEGOTIATION_LIMITS.sections
        assert answer.sdp.count("a=recvonly") == RENEGOTIATION_LIMITS.sections - 1


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda _: "", "v=0"),
        (lambda _: "hello", "v=0"),
        (lambda _: many(100), "sections"),
        (lambda _: "v=0\r\n" * (RENEGOTIATION_LIMITS.lines + 1), "lines"),
        (lambda sdp: sdp + "a=" + "x" * RENEGOTIATION_LIMITS.bytes, "bytes"),
        (lambda _: "v=0\r\n", "no media"),
        (lambda sdp: sdp.replace("a=mid:1\r\n", ""), "a=mid"),
        (lambda sdp: sdp.replace("m=video 9", "m=video"), "m="),
        (lambda sdp: sdp.replace("BUNDLE 0 1 2", "BUNDLE 0 1"), "BUNDLE"),
        (lambda _: FOREIGN.replace("opus/48000/2", "speex/16000").split("m=application")[0], "can be answered"),
    ],
)
def test_an_offer_that_cannot_be_answered_at_all_is_refused_in_words(edit: Callable[[str], str], reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse_renegotiable(edit(CHROME))


@given(mangled(CHROME, SIMULCAST, FOREIGN, REFUSED))
def test_no_offer_however_mangled_raises_anything_else(text: str) -> None:
    try:
        offered = parse_renegotiable(text)
    except ProtocolError:
        return
    assert offered.sections


@given(seed=st.integers(0, 1_000_000))
def test_an_offer_that_was_accepted_can_be_answered(seed: int) -> None:
    dice = random.Random(seed)
    lines = dice.choice([CHROME, SIMULCAST, FOREIGN, REFUSED]).split("\r\n")
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(1, len(lines))
        if dice.random() < 0.5:
            del lines[at]
        else:
            lines.insert(at, lines[at])

    async def answer() -> None:
        async with client() as here:
            for sdp in ("\r\n".join(lines), CHROME):
                try:
                    assert (await here.link.answer(sdp)).sdp.startswith("v=0")
                except ProtocolError:
                    continue

    asyncio.run(answer())
