"""Gemini Live's messages, read and rendered."""
