"""Speech-to-text of any sentence by a Whisper model, in a worker process."""
