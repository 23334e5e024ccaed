"""Offers as clients write them, shortened to a few codecs, and variants of their lines that SDP's grammar allows."""

from hypothesis import strategies as st

from tests.support.offers import CHROME

_SETS = "Z2QAH6zZQFAFuhAAAAMAEAAAAwPA8YMZYA==,aOvjyyLA"
_PRINT = "70:7A:C6:24:05:6D:0F:49:85:6F:6F:14:49:19:47:6F:9A:5C:88:0D:8B:11:45:B5:8D:0E:1B:0E:5F:36:90:2B"

# Credentials and fingerprint stand in the session; the later sections are only bundled.
FIREFOX = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 2642913838403527873 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {_PRINT}
a=group:BUNDLE 0 1 2
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:70bc1d1f9a5d5bc9a2a5a4ee3d3a4d19
a=ice-ufrag:9fb5d9d1
a=mid:0
a=msid:{{d1b6a9a8}} {{e1b6a9a8}}
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:3124985624 cname:{{2c2b0b5c}}
m=video 0 UDP/TLS/RTP/SAVPF 120 124 126 127
c=IN IP4 0.0.0.0
a=bundle-only
a=sendonly
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:5 urn:ietf:params:rtp-hdrext:toffset
a=fmtp:126 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1
a=fmtp:120 max-fs=12288;max-fr=60
a=fmtp:124 apt=120
a=fmtp:127 apt=126
a=ice-pwd:70bc1d1f9a5d5bc9a2a5a4ee3d3a4d19
a=ice-ufrag:9fb5d9d1
a=mid:1
a=msid:{{d1b6a9a8}} {{f1b6a9a8}}
a=rtcp-fb:120 nack
a=rtcp-fb:120 nack pli
a=rtcp-fb:120 ccm fir
a=rtcp-fb:120 goog-remb
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:120 VP8/90000
a=rtpmap:124 rtx/90000
a=rtpmap:126 H264/90000
a=rtpmap:127 rtx/90000
a=setup:actpass
a=ssrc:1290185331 cname:{{2c2b0b5c}}
a=ssrc:2290185331 cname:{{2c2b0b5c}}
a=ssrc-group:FID 1290185331 2290185331
m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=bundle-only
a=sendrecv
a=ice-pwd:70bc1d1f9a5d5bc9a2a5a4ee3d3a4d19
a=ice-ufrag:9fb5d9d1
a=mid:2
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
"""

SAFARI = f"""v=0
o=- 7324234923423423423 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS 5b4e
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Jk3u
a=ice-pwd:8b0Vh1gnXsf7NlFWmbZBWV3T
a=ice-options:trickle
a=fingerprint:sha-256 {_PRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendonly
a=msid:5b4e 6b4e
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=ssrc:1519239339 cname:Nf5j
m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 104 35
c=IN IP4 0.0.0.0
a=ice-ufrag:Jk3u
a=ice-pwd:8b0Vh1gnXsf7NlFWmbZBWV3T
a=fingerprint:sha-256 {_PRINT}
a=setup:actpass
a=mid:1
a=sendonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack pli
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:98 H264/90000
a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rtpmap:100 H265/90000
a=fmtp:100 level-id=93
a=rtpmap:101 VP8/90000
a=rtpmap:104 red/90000
a=rtpmap:35 AV1/90000
a=fmtp:35 level-idx=5;profile=0;tier=0
a=ssrc-group:FID 3021414213 2203332334
a=ssrc:3021414213 cname:Nf5j
a=ssrc:2203332334 cname:Nf5j
"""

OBS = f"""v=0
o=rtc 2421415416 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=setup:actpass
a=ice-ufrag:BCFA
a=ice-pwd:h0hoKnOGEWmaP7eHSBN7+h
a=ice-options:ice2,trickle
a=fingerprint:sha-256 {_PRINT}
m=audio 54555 UDP/TLS/RTP/SAVPF 111
c=IN IP4 192.0.2.7
a=mid:0
a=sendonly
a=ssrc:2421415416 cname:obs
a=ssrc:2421415416 msid:obs obs-audio
a=msid:obs obs-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=candidate:1 1 UDP 2122317823 192.0.2.7 54555 typ host
m=video 54555 UDP/TLS/RTP/SAVPF 96
c=IN IP4 192.0.2.7
a=mid:1
a=sendonly
a=ssrc:2421415417 cname:obs
a=ssrc:2421415417 msid:obs obs-video
a=msid:obs obs-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
a=candidate:1 1 UDP 2122317823 192.0.2.7 54555 typ host
a=end-of-candidates
"""

FFMPEG = f"""v=0
o=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1
s=FFmpegPublishSession
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:a174b
a=ice-pwd:ade6ca8ed3c8d4ff2ad7fa73a2b3a47b
a=fingerprint:sha-256 {_PRINT}
a=setup:passive
a=mid:0
a=sendonly
a=msid:FFmpeg audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=ssrc:2291453427 cname:FFmpeg
a=ssrc:2291453427 msid:FFmpeg audio
m=video 9 UDP/TLS/RTP/SAVPF 106 105
c=IN IP4 0.0.0.0
a=ice-ufrag:a174b
a=ice-pwd:ade6ca8ed3c8d4ff2ad7fa73a2b3a47b
a=fingerprint:sha-256 {_PRINT}
a=setup:passive
a=mid:1
a=sendonly
a=msid:FFmpeg video
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:106 H264/90000
a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f
a=rtcp-fb:106 nack
a=rtpmap:105 rtx/90000
a=fmtp:105 apt=106
a=ssrc-group:FID 3107227182 1027125316
a=ssrc:3107227182 cname:FFmpeg
a=ssrc:3107227182 msid:FFmpeg video
"""

GSTREAMER = f"""v=0
o=- 4932839283928392839 0 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-options:trickle
a=group:BUNDLE video0 audio1
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=setup:actpass
a=ice-ufrag:M1SRi3DI3y1bYeSMPbFOQKbtVDz7tOpM
a=ice-pwd:3KjFY2eM3EWbz9gGHOqFtTa7cZbyWYvj
a=rtcp-mux
a=rtcp-rsize
a=sendonly
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack pli
a=framerate:30
a=fmtp:96 packetization-mode=1;profile-level-id=64001f;sprop-parameter-sets={_SETS}
a=ssrc:1186472829 msid:user1186472829@host-93d9 webrtctransceiver0
a=ssrc:1186472829 cname:user1186472829@host-93d9
a=mid:video0
a=fingerprint:sha-256 {_PRINT}
m=audio 0 UDP/TLS/RTP/SAVPF 97
c=IN IP4 0.0.0.0
a=bundle-only
a=setup:actpass
a=ice-ufrag:M1SRi3DI3y1bYeSMPbFOQKbtVDz7tOpM
a=ice-pwd:3KjFY2eM3EWbz9gGHOqFtTa7cZbyWYvj
a=rtcp-mux
a=rtcp-rsize
a=sendonly
a=rtpmap:97 OPUS/48000/2
a=rtcp-fb:97 nack pli
a=fmtp:97 sprop-maxcapturerate=48000;sprop-stereo=0
a=ssrc:1868563451 cname:user1186472829@host-93d9
a=mid:audio1
a=fingerprint:sha-256 {_PRINT}
"""

SIMPLE_WHIP_CLIENT = GSTREAMER.replace("profile-level-id=64001f;", "").replace(
    "a=rtpmap:97 OPUS/48000/2", "a=rtpmap:97 OPUS/48000/2\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid"
)

# One section that goes nowhere but here, without BUNDLE and mid.
LIBDATACHANNEL = f"""v=0
o=rtc 3767197920 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE audio
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 {_PRINT}
m=audio 9 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=mid:audio
a=sendrecv
a=ssrc:1 cname:libdatachannel
a=rtcp-mux
a=rtpmap:0 PCMU/8000/1
a=setup:actpass
a=ice-ufrag:Sk7M
a=ice-pwd:eUvZTjHZXkV5pN8z6f3GJd
"""

ESP32 = f"""v=0
o=- 123456 1 IN IP4 127.0.0.1
s=-
t=0 0
a=msid-semantic: iot
m=audio 9 UDP/TLS/RTP/SAVP 8
c=IN IP4 0.0.0.0
a=rtpmap:8 PCMA/8000
a=ssrc:4 cname:webrtc-pcma
a=sendrecv
a=rtcp-mux
a=fingerprint:sha-256 {_PRINT}
a=ice-ufrag:a3b4
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=setup:actpass
"""

AIORTC = f"""v=0
o=- 3957192012 3957192012 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic:WMS *
m=audio 36541 UDP/TLS/RTP/SAVPF 96 9 0 8
c=IN IP4 192.0.2.3
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=mid:0
a=msid:2dbb 4dbb
a=rtcp:9 IN IP4 0.0.0.0
a=rtcp-mux
a=ssrc:1386513562 cname:8e0ab9
a=rtpmap:96 opus/48000/2
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=candidate:57da3ab0 1 udp 2130706431 192.0.2.3 36541 typ host
a=end-of-candidates
a=ice-ufrag:LZEf
a=ice-pwd:SFyeoiOqLJBcLlLIsSj4rg
a=fingerprint:sha-256 {_PRINT}
a=setup:actpass
m=application 36541 DTLS/SCTP 5000
c=IN IP4 192.0.2.3
a=mid:1
a=sctpmap:5000 webrtc-datachannel 65535
a=max-message-size:65536
a=ice-ufrag:LZEf
a=ice-pwd:SFyeoiOqLJBcLlLIsSj4rg
a=fingerprint:sha-256 {_PRINT}
a=setup:actpass
"""

OFFERS = {
    name: text.replace("\r\n", "\n").replace("\n", "\r\n")
    for name, text in {
        "Chromium": CHROME,
        "Firefox": FIREFOX,
        "Safari": SAFARI,
        "OBS": OBS,
        "ffmpeg": FFMPEG,
        "GStreamer": GSTREAMER,
        "simple-whip-client": SIMPLE_WHIP_CLIENT,
        "libdatachannel": LIBDATACHANNEL,
        "ESP32": ESP32,
        "aiortc": AIORTC,
    }.items()
}

ODD_LINES = (
    "a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on",
    "a=extmap:4200/sendrecv urn:example:later",
    "a=ssrc:99",
    "a=ssrc:99 cname",
    "a=ssrc:99999999999 cname:x",
    "a=ssrc-group:FEC-FR 1",
    "a=fmtp:1",
    "a=fmtp:126 x",
    "a=rtcp-fb:* ccm",
    "a=rtcp-fb:96",
    "a=rtpmap:127 unknown/90000",
    "a=rtpmap:x",
    "a=unknown",
    "a=unknown:",
    "a=:",
    "a=",
    "a=x:a b c;d=e",
    "b=AS:500",
    "b=TIAS:500000",
    "i=a title",
    "k=clear:x",
    "c=IN IP6 ::1",
    "c=IN IP4 224.2.1.1/127/3",
    "a=rtcp:9",
    "a=rtcp:9 IN IP6 ::",
    "a=ptime:20",
    "a=maxptime:60",
    "a=imageattr:96 send [x=1280,y=720] recv *",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
    "a=candidate:bad",
    "a=candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag x network-id 1",
    "a=remote-candidates:1 192.0.2.1 9",
    "a=max-message-size:0",
    "a=identity:x",
    "a=tls-id:x",
    "z=0 0",
)


@st.composite
def varied(draw: st.DrawFn) -> str:
    """One of the offers, with lines spelt, ordered and added to as grammar and clients allow."""
    lines = draw(st.sampled_from([*OFFERS.values()])).split("\r\n")[:-1]
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(4, len(lines) - 1))
        match draw(st.sampled_from(["add", "double", "space", "case", "parameters", "swap"])):
            case "add":
                lines.insert(at, draw(st.sampled_from(ODD_LINES)))
            case "double":
                lines.insert(at, lines[at] if lines[at].startswith("a=") else "a=x")
            case "space":
                lines[at] += " " * draw(st.integers(1, 3))
            case "case" if lines[at].startswith(("a=rtpmap:", "a=setup:", "a=fmtp:", "a=candidate:")):
                lines[at] = lines[at][: lines[at].index(":")] + lines[at][lines[at].index(":") :].swapcase()
            case "parameters" if lines[at].startswith("a=fmtp:"):
                lines[at] = lines[at].replace(";", "; ") + draw(st.sampled_from([";", "; x", ";y=z", " ;=;"]))
            case "swap" if lines[at].startswith("a=") and lines[at - 1].startswith("a="):
                lines[at - 1], lines[at] = lines[at], lines[at - 1]
    return draw(st.sampled_from(["\r\n", "\n"])).join(lines) + draw(st.sampled_from(["", "\r\n", "\n\n"]))
