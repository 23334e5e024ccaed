"""An engine without a key or a network: Gemini Live's server side on loopback, under its own name."""
