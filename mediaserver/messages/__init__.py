"""The JSON messages of a session as models, shared by the JSON WebSocket, the data channel and LiveKit data."""
