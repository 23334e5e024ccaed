"""The assistant as a participant of a room."""
