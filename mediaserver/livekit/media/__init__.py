"""WebRTC connections of a LiveKit participant: publisher, subscriber, tracks, data channels."""
