"""Offers as Chromium writes them, shortened to a few codecs, and what may become of them."""

from hypothesis import strategies as st

_SECURITY = """a=ice-ufrag:Uf1a
a=ice-pwd:0123456789abcdefghijklmn
a=ice-options:trickle
a=fingerprint:sha-256 70:7A:C6:24:05:6D:0F:49:85:6F:6F:14:49:19:47:6F:9A:5C:88:0D:8B:11:45:B5:8D:0E:1B:0E:5F:36:90:2B
a=setup:actpass
"""

_CANDIDATES = """a=candidate:1 1 udp 2113937151 192.0.2.9 50000 typ host generation 0 network-cost 999
a=candidate:2 1 udp 2113937151 8f3b2c1d-aaaa-bbbb-cccc-1234567890ab.local 50001 typ host generation 0
a=candidate:3 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active generation 0
"""

_HEAD = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
"""

_AUDIO = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
{_CANDIDATES}{_SECURITY}a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:- 3f1b6a2e-0000-4000-8000-000000000001
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:1111 cname:qwerty
a=ssrc:1111 msid:- 3f1b6a2e-0000-4000-8000-000000000001
"""

_VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 45 46
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
{_SECURITY}a=mid:1
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:- 3f1b6a2e-0000-4000-8000-000000000002
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:103 H264/90000
a=rtcp-fb:103 nack pli
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f
a=rtpmap:104 rtx/90000
a=fmtp:104 apt=103
a=rtpmap:45 AV1/90000
a=rtpmap:46 rtx/90000
a=fmtp:46 apt=45
a=ssrc-group:FID 2222 3333
a=ssrc:2222 cname:qwerty
a=ssrc:3333 cname:qwerty
"""

_DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{_SECURITY}a=mid:2
a=sctp-port:5000
a=max-message-size:262144
"""

CHROME = f"{_HEAD}a=group:BUNDLE 0 1 2\n{_AUDIO}{_VIDEO}{_DATA}".replace("\n", "\r\n")

DATA_ONLY = f"{_HEAD}a=group:BUNDLE 2\n{_DATA}".replace("\n", "\r\n")


@st.composite
def mangled(draw: st.DrawFn, *offers: str) -> str:
    """One of the offers, with a few of its lines cut, doubled, shortened, swapped or made longer."""
    lines = draw(st.sampled_from(offers)).split("\r\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "double", "shorten", "swap", "noise"])):
            case "cut":
                lines[at] = ""
            case "double":
                lines[at] = f"{lines[at]}\r\n{lines[at]}"
            case "shorten":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] += draw(st.text(max_size=8))
    return "\r\n".join(lines)
