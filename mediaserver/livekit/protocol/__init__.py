"""LiveKit's messages and tokens as pure code: no socket, no clock, no task."""
