"""The JSON WebSocket: a whole conversation in text frames, media in base64."""
