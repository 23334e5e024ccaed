"""Functions that the engine may call."""
