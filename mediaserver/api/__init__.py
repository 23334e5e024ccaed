"""The HTTP interface beside the media: the page, users, sessions, health, metrics, documentation."""
