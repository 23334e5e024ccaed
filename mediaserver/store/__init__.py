"""Persistent storage: accounts, tokens, preferences, sessions and their history."""
