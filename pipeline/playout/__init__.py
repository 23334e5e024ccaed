"""The assistant's speech on its way out: buffer, 20 ms clock, Opus."""
