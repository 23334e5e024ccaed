"""The commands: serve, user, engine."""
