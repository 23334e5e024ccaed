"""Offers: those of browsers are taken, all others are refused in words."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediaserver.rtc.sdp.candidates import is_mdns, may_be_checked, parse_candidate
from mediaserver.rtc.sdp.offer import MAX_BYTES, OfferError, parse_offer
from pipeline.errors import ProtocolError
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
        (without("a=mid"), "a=mid"),
        (put("a=mid:1", "a=mid:0"), "a=mid"),
        (without("a=group"), "BUNDLE"),
        (put("BUNDLE 0 1 2", "BUNDLE 7 0 1 2"), "BUNDLE"),
        (put("BUNDLE 0 1 2", "BUNDLE 0 1"), "BUNDLE"),
        (without("a=ice-ufrag"), "ice-ufrag"),
        (put("a=ice-pwd:0123456789abcdefghijklmn", "a=ice-pwd:short"), "ice-pwd"),
        (without("a=fingerprint"), "fingerprint"),
        (without("a=setup"), "setup"),
        (without("a=rtcp-mux"), "rtcp-mux"),
        (put("opus/48000/2", "speex/16000"), "opus"),
        (put(" VP8/", " AV1/"), "vp8"),
        (put("a=extmap:4 ", "a=extmap:0 "), "extmap"),
        (without("a=sctp-port"), "sctp-port"),
        (put("a=sctp-port:5000", "a=sctp-port:70000"), "sctp-port"),
        (put("UDP/DTLS/SCTP webrtc-datachannel", "UDP/TCP webrtc-datachannel"), "profile"),
        (put("m=video", "m=text"), "kind"),
        (put("m=video", "m=application"), "data channel"),
        (put("a=mid:1\r\n", "a=mid:1\r\na=ice-ufrag:other\r\n"), "share one"),
        (put("m=audio 9", "m=audio nine"), "well-formed"),
        (put("a=rtpmap:111 opus/48000/2", "a=rtpmap:111"), "well-formed"),
        (put("a=setup:actpass", "a=setup:sideways"), "well-formed"),
        (put("a=fmtp:111", "a=fmtp:112"), "well-formed"),
        (put("packetization-mode=0", "packetization-mode"), "well-formed"),
        (put(" udp 2113937151 ", " udp high "), "candidate"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_refused_in_words(edit: Callable[[str], str], reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse_offer(edit(CHROME))


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
