"""Mixes a stereo microphone to mono, also one whose channels cancel each other out."""

import numpy as np

_MEMORY = 0.98
"""Share of the energies so far that remains with each packet: half of them after 34 packets, 0.7 s."""

_CANCELLED = 0.1
"""Share of the louder channel's energy under which a mix counts as cancelled: it has a quarter of one channel alone."""


class StereoMixer:
    """Averages both channels, or takes the louder one while their average is nearly nothing, as one is inverted."""

    def __init__(self) -> None:
        self._left = self._right = self._mean = 0.0  # energies

    def mix(self, pcm: bytes) -> bytes:
        """Return the mono PCM of interleaved 16-bit stereo."""
        samples = np.frombuffer(pcm, np.int16).reshape(-1, 2).astype(np.float32)
        left, right = samples[:, 0], samples[:, 1]
        mean = (left + right) * np.float32(0.5)
        self._left = self._left * _MEMORY + float(left @ left)
        self._right = self._right * _MEMORY + float(right @ right)
        self._mean = self._mean * _MEMORY + float(mean @ mean)
        if self._mean < _CANCELLED * max(self._left, self._right):
            mean = left if self._left >= self._right else right
        return mean.astype(np.int16).tobytes()
