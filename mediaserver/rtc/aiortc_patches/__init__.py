"""Changes to aiortc, each with its reason."""
