"""Offers: what can be answered is, and what cannot is refused in words."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediaserver.rtc.sdp import h264
from mediaserver.rtc.sdp.candidates import is_mdns, may_be_checked, parse_candidate
from mediaserver.rtc.sdp.grammar import split
from mediaserver.rtc.sdp.offer import MAX_BYTES, OfferError, parse_offer
from pipeline.errors import ProtocolError
from tests.support.client_offers import ODD_LINES, OFFERS, varied
from tests.support.offers import CHROME, DATA_ONLY, mangled


def test_a_browsers_offer_is_taken() -> None:
    offer = parse_offer(CHROME)
    assert [(section.mid, section.kind, section.sends, section.receives) for section in offer.sections] == [
        ("0", "audio", True, True),
        ("1", "video", True, False),
        ("2", "application", True, True),
    ]
    assert offer.has_data
    assert (offer.ufrag, offer.pwd) == ("Uf1a", "0123456789abcdefghijklmn")


def test_candidates_are_taken_out_of_the_offer_each_once() -> None:
    offer = parse_offer(CHROME)
    assert len(offer.candidates) == 3
    assert "candidate" not in offer.sdp


def test_a_data_channel_alone_is_enough() -> None:
    assert [section.kind for section in parse_offer(DATA_ONLY).sections] == ["application"]


def test_a_section_without_direction_goes_both_ways() -> None:
    offer = parse_offer(CHROME.replace("a=sendrecv\r\n", "").replace("a=sendonly\r\n", ""))
    assert all(section.sends and section.receives for section in offer.sections)
    assert offer.sdp.count("a=sendrecv") == 3


def without(*starts: str) -> Callable[[str], str]:
    return lambda sdp: "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith(starts))


def put(old: str, new: str) -> Callable[[str], str]:
    return lambda sdp: sdp.replace(old, new)


SECTIONS = ("audio", "video", "application")


def test_one_section_that_cannot_be_answered_costs_no_other() -> None:
    offer = parse_offer(put(" VP8/", " AV1/")(put(" H264/", " VP9/")(CHROME)))
    assert [section.kind for section in offer.sections] == ["audio", "application"]
    assert "m=video" not in offer.sdp
    assert "a=group:BUNDLE 0 2" in offer.sdp


ONLY_AUDIO = ["audio", "application"]


@pytest.mark.parametrize(
    ("edit", "kinds"),
    [
        (put("opus/48000/2", "speex/16000"), [*SECTIONS]),  # PCMU and PCMA are left
        (put("m=video 9", "m=video 0"), ONLY_AUDIO),
        (put("a=sendonly", "a=inactive"), ONLY_AUDIO),
        (put("m=video", "m=text"), ONLY_AUDIO),
        (put("m=video", "m=application"), ["audio", "application"]),
        (put("BUNDLE 0 1 2", "BUNDLE 0 2"), ONLY_AUDIO),
        (put("BUNDLE 0 1 2", "BUNDLE 7 0 1 2"), [*SECTIONS]),
        (put("BUNDLE 0 1 2", "BUNDLE 1 2"), ["audio"]),
        (put("a=sctp-port:5000", "a=sctp-port:70000"), ["audio", "video"]),
        (put("UDP/DTLS/SCTP webrtc-datachannel", "UDP/TCP webrtc-datachannel"), ["audio", "video"]),
        (put("a=mid:1\r\n", "a=mid:1\r\na=ice-ufrag:other\r\n"), [*SECTIONS]),  # the first section's are used
    ],
)
def test_only_the_sections_that_can_be_answered_are(edit: Callable[[str], str], kinds: list[str]) -> None:
    assert [section.kind for section in parse_offer(edit(CHROME)).sections] == kinds


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda _: "", "v=0"),
        (lambda _: "hello", "v=0"),
        (lambda _: "v=0\r\n" * 2_001, "lines"),
        (lambda sdp: sdp + "a=x\r\n" * 10_000, "lines"),
        (lambda sdp: sdp + "a=" + "x" * MAX_BYTES, "bytes"),
        (lambda _: "v=0\r\n", "no media"),
        (lambda sdp: sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 20, "sections"),
        (lambda sdp: sdp + "a=rtpmap:96 VP8/90000\r\n" * 200, "codecs"),
        (put("a=mid:1", "a=mid:0"), "`a=mid:0` stands in two"),
        (without("a=ice-ufrag"), "The audio section 0 has no valid `a=ice-ufrag`"),
        (put("a=ice-pwd:0123456789abcdefghijklmn", "a=ice-pwd:short"), "ice-pwd"),
        (without("a=fingerprint"), "fingerprint"),
        (without("a=setup"), "setup"),
        (put("a=setup:actpass", "a=setup:sideways"), "setup"),
        (put("m=audio 9", "m=audio nine"), "`m=audio nine UDP/TLS/RTP/SAVPF 111 63"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_refused_in_words(edit: Callable[[str], str], reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse_offer(edit(CHROME))


@pytest.mark.parametrize(
    ("kind", "edit", "reason"),
    [
        ("audio", put("a=rtcp-mux", "a=x"), "no `a=rtcp-mux`"),
        ("audio", put("opus", "speex"), "it offers speex; accepted: Opus, PCMU, PCMA"),
        ("video", put("VP8", "AV1"), "it offers AV1; accepted: VP8, H264 .profile baseline"),
        ("video", put("m=video 9", "m=video 0"), "port 0"),
        ("video", put("a=sendonly", "a=inactive"), "inactive"),
        ("video", put("UDP/TLS/RTP/SAVPF", "TCP/MSRP"), "TCP/MSRP"),
        ("application", without("a=sctp-port"), "sctp-port"),
    ],
)
def test_an_offer_with_nothing_usable_says_what_was_offered_and_what_is_accepted(
    kind: str, edit: Callable[[str], str], reason: str
) -> None:
    head, groups = split(CHROME.split("\r\n"))
    codecs = ("a=rtpmap:111 ", "a=rtpmap:96 ")
    group = [
        line
        for group in groups
        if group[0].startswith(f"m={kind}")
        for line in group
        if not line.startswith("a=rtpmap:") or line.startswith(codecs)
    ]
    alone = "\r\n".join([*head, *group]).replace("111 63 9 0 8 13 110 126", "111")
    assert parse_offer(alone)
    with pytest.raises(OfferError, match=reason):
        parse_offer(edit(alone))


@pytest.mark.parametrize("name", OFFERS)
def test_the_offers_of_clients_are_answered_in_every_section(name: str) -> None:
    offer = parse_offer(OFFERS[name])
    assert len(offer.sections) == OFFERS[name].count("m=")


def test_lines_that_aiortc_does_not_take_are_passed_over() -> None:
    lines = CHROME.split("\r\n")
    for line in ODD_LINES:
        for at in (4, 20, 50):
            offer = parse_offer("\r\n".join([*lines[:at], line, *lines[at:]]))
            assert len(offer.sections) == 3, line


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(varied())
def test_every_variant_that_the_grammar_allows_is_answered_or_refused_by_the_name_of_a_line(text: str) -> None:
    try:
        reason = "" if parse_offer(text).sections else "nothing"
    except OfferError as error:
        reason = error.message
    assert not reason or "`" in reason


def test_without_bundle_one_section_is_answered() -> None:
    assert [section.kind for section in parse_offer(without("a=group")(CHROME)).sections] == ["audio"]
    assert [section.kind for section in parse_offer(without("a=mid", "a=group")(CHROME)).sections] == ["audio"]


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        (None, None),
        ("profile-level-id=42e01f; packetization-mode=1", "packetization-mode=1;profile-level-id=42e01f"),
        ("packetization-mode=1;profile-level-id=64001f", "packetization-mode=1;profile-level-id=64001f"),
        ("PROFILE-LEVEL-ID=4D0029;packetization-mode=0", "packetization-mode=0;profile-level-id=4D0029"),
        ("profile-level-id=640c1f", "profile-level-id=640c1f"),
        ("packetization-mode", None),
        ("level-asymmetry-allowed=1", "level-asymmetry-allowed=1"),
    ],
)
def test_h264_that_can_be_decoded_is_answered_in_the_clients_terms(parameters: str | None, answer: str | None) -> None:
    text = put("VP8", "AV1")(CHROME).replace(
        "a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f",
        "a=x" if parameters is None else f"a=fmtp:103 {parameters}",
    )
    offer = parse_offer(text.replace("H264", "h264"))
    video = next(section for section in offer.sections if section.kind == "video")
    assert video.h264 == {"103": answer or ""}
    described = "m=video 1 UDP/TLS/RTP/SAVPF 103\r\na=mid:1\r\na=fmtp:103 packetization-mode=1\r\n"
    finished = offer.finish("v=0\r\nm=audio 1 UDP/TLS/RTP/SAVPF 0\r\n" + described + "m=application 1 X y\r\n")
    assert ("a=fmtp:103" in finished) == (answer is not None)
    assert answer is None or f"a=fmtp:103 {answer}\r\n" in finished


@pytest.mark.parametrize("parameters", ["packetization-mode=2", "profile-level-id=f4001f", "profile-level-id=6e0029"])
def test_h264_that_cannot_be_decoded_is_refused(parameters: str) -> None:
    text = put("VP8", "AV1")(CHROME).replace(
        "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f", parameters
    )
    assert [section.kind for section in parse_offer(text).sections] == ONLY_AUDIO


def test_parameter_sets_are_taken_from_the_description() -> None:
    (video,) = (section for section in parse_offer(OFFERS["GStreamer"]).sections if section.kind == "video")
    sets = video.parameter_sets[96]
    assert sets.startswith(b"\0\0\0\1\x67")
    assert b"\0\0\0\1\x68" in sets


@pytest.mark.parametrize("text", ["%%%", "A", ",", "AAAA," * 4_000])
def test_parameter_sets_that_cannot_be_read_are_passed_over(text: str) -> None:
    assert h264.parameter_sets({"sprop-parameter-sets": text}) == b""


def test_a_section_that_is_refused_keeps_its_place_in_the_answer() -> None:
    offer = parse_offer(put("m=video 9", "m=video 0")(CHROME))
    answer = offer.finish(
        "v=0\r\na=group:BUNDLE 0 2\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
        "m=application 4000 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"
    )
    assert [line for line in answer.split("\r\n") if line.startswith(("m=", "a=group"))] == [
        "a=group:BUNDLE 0 2",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111",
        "m=video 0 UDP/TLS/RTP/SAVPF 96 97 103 104 45 46",
        "m=application 4000 UDP/DTLS/SCTP webrtc-datachannel",
    ]


@pytest.mark.parametrize("layers", ["q;h;f", "f;h;q", "~q;h,x;f"])
def test_simulcast_is_answered_with_all_layers(layers: str) -> None:
    rids = "a=rid:q send\r\na=rid:h send pt=96\r\na=rid:f send\r\na=rid:x send\r\n"
    offer = parse_offer(CHROME.replace("a=mid:1\r\n", f"a=mid:1\r\n{rids}a=simulcast:send {layers}\r\n"))
    answer = offer.finish(
        "v=0\r\nm=audio 1 A 0\r\nm=video 1 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\nm=application 1 A b\r\n"
    )
    taken = layers.replace("~", "").replace(",x", "")
    assert f"a=simulcast:recv {taken}\r\n" in answer
    assert all(f"a=rid:{layer} recv\r\n" in answer for layer in taken.split(";"))


# The first draw on a machine builds hypothesis' tables of characters, which is no sign of a slow test.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mangled(CHROME))
def test_no_offer_however_mangled_raises_anything_else(text: str) -> None:
    try:
        offer = parse_offer(text)
    except ProtocolError:
        return
    assert offer.sections


@given(st.text())
def test_noise_is_no_offer(text: str) -> None:
    with pytest.raises(OfferError):
        parse_offer(text)


@pytest.mark.parametrize(
    "text",
    [
        "a=candidate:1 1 udp 2113937151 192.0.2.9 50000 typ host generation 0 network-id 1",
        "candidate:1 1 UDP 2113937151 2001:db8::9 50000 typ srflx raddr 0.0.0.0 rport 0",
        "1 1 udp 2113937151 d9f2a5b4-aaaa-bbbb-cccc-1234567890ab.local 50000 typ host",
    ],
)
def test_candidates_are_read(text: str) -> None:
    candidate = parse_candidate(text)
    assert candidate is not None
    assert candidate.port == 50_000
    assert is_mdns(candidate) == (".local" in text)


@pytest.mark.parametrize(
    "text",
    [
        "candidate:1 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active",
        "candidate:1 2 udp 2113937151 192.0.2.9 50000 typ host",
        "candidate:1 1 udp 2113937151 somewhere.example 50000 typ host",
        "candidate:1 1 udp 2113937151 0.0.0.0 50000 typ host",
    ],
)
def test_candidates_of_no_use_are_passed_over(text: str) -> None:
    assert parse_candidate(text) is None


PUBLIC, LAN, LOCAL, LINK_LOCAL = "9.9.9.9", "192.168.1.7", "127.0.0.1", "169.254.3.4"


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("198.51.100.9", {PUBLIC, LAN, LOCAL, LINK_LOCAL, ""}),
        ("2001:db8::9", {PUBLIC, LAN, LOCAL, LINK_LOCAL, ""}),
        ("192.168.1.9", {PUBLIC, LAN, LOCAL, LINK_LOCAL, ""}),
        ("224.0.0.251", set()),
        ("ff02::fb", set()),
        ("::ffff:224.0.0.251", set()),
        ("255.255.255.255", set()),
        ("240.0.0.1", set()),
        ("::", set()),
        ("::ffff:0.0.0.0", set()),
        ("127.0.0.1", {LOCAL}),
        ("127.8.8.8", {LOCAL}),
        ("::1", {LOCAL}),
        ("::ffff:127.0.0.1", {LOCAL}),
        ("169.254.169.254", {LINK_LOCAL}),
        ("fe80::9", {LINK_LOCAL}),
        ("d9f2a5b4-aaaa-bbbb-cccc-1234567890ab.local", {LAN, LOCAL, LINK_LOCAL, ""}),
    ],
)
def test_special_addresses_are_checked_only_where_the_client_is(address: str, allowed: set[str]) -> None:
    candidate = parse_candidate(f"candidate:1 1 udp 1 {address} 50000 typ host")
    accepted = {
        client
        for client in (PUBLIC, LAN, LOCAL, LINK_LOCAL, "")
        if candidate is not None and may_be_checked(candidate, client)
    }
    assert accepted == allowed


@pytest.mark.parametrize(
    "text", ["", "candidate:", "candidate:1 1 udp 1 192.0.2.9 99999 typ host", "candidate:1 1 udp 1 192.0.2.9 typ host"]
)
def test_malformed_candidates_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_candidate(text)
