"""One RTCPeerConnection as a peer of a conversation: media in, voice out, events both ways."""
