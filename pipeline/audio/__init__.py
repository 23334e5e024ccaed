"""Microphone audio: resampling, voice activity detection, endpointing."""
