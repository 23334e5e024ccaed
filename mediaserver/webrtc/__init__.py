"""WebRTC over HTTP, as WHIP (RFC 9725): offer and answer, trickled candidates, goodbye."""
