"""One conversation's media: microphone and screen up to the engine, speech down."""
