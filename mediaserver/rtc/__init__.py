"""One RTCPeerConnection and its media: inbound tracks, outbound speech, SDP and candidates."""
