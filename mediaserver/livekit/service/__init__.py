"""LiveKit's sockets and API: signalling, live rooms, RoomService."""
