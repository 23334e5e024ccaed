"""LiveKit's signalling protocol, rooms, data and server API, with no LiveKit server."""
