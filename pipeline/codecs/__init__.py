"""Decoders of the audio and image formats that clients send."""
