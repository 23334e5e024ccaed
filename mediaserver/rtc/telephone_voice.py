"""The assistant's speech in G.711, for clients that know no Opus."""

import numpy as np
from numpy.typing import NDArray

from pipeline.codecs.g711 import G711, RATE, Law
from pipeline.media import SPEECH_SAMPLE_RATE

_STEP = SPEECH_SAMPLE_RATE // RATE
_TAPS = 61
_CUTOFF = 3_600 / SPEECH_SAMPLE_RATE  # of half of 8 kHz, with room for the filter's slope


def _low_pass() -> NDArray[np.float64]:
    at = np.arange(_TAPS) - _TAPS // 2
    taps = np.sinc(2 * _CUTOFF * at) * np.hamming(_TAPS)
    return np.asarray(taps / taps.sum())


_FILTER = _low_pass()


class TelephoneVoice:
    """Encodes frames of 20 ms in one law. The next frame is taken to follow the one before."""

    def __init__(self, law: Law):
        self._codec = G711(law)
        self._before = np.zeros(_TAPS - 1)
        self.silence = self._codec.encode(bytes(2)) * (RATE // 50)
        """20 ms of silence."""

    def encode(self, pcm: bytes) -> bytes:
        """Return the payload (160 bytes) of 20 ms of 16-bit PCM at 24 kHz."""
        samples = np.concatenate([self._before, np.frombuffer(pcm, np.int16)])
        self._before = samples[1 - _TAPS :]
        narrow = np.convolve(samples, _FILTER, "valid")[::_STEP]
        return self._codec.encode(narrow.clip(-0x8000, 0x7FFF).astype(np.int16).tobytes())
