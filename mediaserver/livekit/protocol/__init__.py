"""LiveKit's messages and tokens: parsing and rendering, without sockets or tasks."""
