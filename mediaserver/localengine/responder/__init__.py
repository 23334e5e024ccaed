"""The answers of the local engine: speech to text, intents, text to speech, scripts."""
