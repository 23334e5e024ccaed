"""Incoming audio and video tracks."""
