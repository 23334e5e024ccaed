"""Speech synthesis: text is read as words, and spoken by the neural voice, espeak-ng or a speech server."""
