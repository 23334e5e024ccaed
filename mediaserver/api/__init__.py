"""The HTTP API besides media: the page, users, sessions, health, metrics, documentation."""
