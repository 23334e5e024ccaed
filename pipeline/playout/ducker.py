"""Ducking: lowers the assistant's voice while the user may have begun to speak."""

import numpy as np

DUCKED_GAIN = 0.25
"""-12 dB: heard at once as a reaction, and still understood."""


class Ducker:
    """Scales frames of 16-bit PCM; a change of the gain is spread over one frame, so that it does not click."""

    def __init__(self) -> None:
        self.is_ducked = False
        self._gain = 1.0

    def apply(self, pcm: bytes) -> bytes:
        """Return a frame at the present gain; at full gain it is returned as it is."""
        target = DUCKED_GAIN if self.is_ducked else 1.0
        if self._gain == target == 1.0:
            return pcm
        samples = np.frombuffer(pcm, "<i2")
        gains = np.linspace(self._gain, target, len(samples), dtype=np.float32)
        self._gain = target
        return (samples * gains).astype("<i2").tobytes()

    def reset(self) -> None:
        """Return to full gain at once."""
        self.is_ducked = False
        self._gain = 1.0
