"""G.711 (ITU-T): A-law and mu-law, one byte a sample at 8 kHz, as telephones and cameras speak it."""

from enum import StrEnum
from typing import Literal

import numpy as np
from av import AudioFrame, CodecContext, Packet
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

RATE = 8_000


class Law(StrEnum):
    """The two laws, by the names that RTP has for them (RFC 3551 section 4.5.14)."""

    MU = "pcmu"
    A = "pcma"


_CODECS = {Law.MU: "pcm_mulaw", Law.A: "pcm_alaw"}


class G711:
    """Converts between bytes of one law and 16-bit PCM; it has no state."""

    def __init__(self, law: Law):
        # A sample is converted by itself: tables of FFmpeg's conversion of all values do the rest.
        self._expanded = _expand(bytes(range(256)), law)
        self._compressed = _compress(np.arange(-0x8000, 0x8000, dtype=np.int16), law)

    def decode(self, data: bytes) -> bytes:
        """Return a payload's 16-bit PCM."""
        return self._expanded[np.frombuffer(data, np.uint8)].tobytes()

    def encode(self, pcm: bytes) -> bytes:
        """Return the payload of 16-bit PCM."""
        return self._compressed[np.frombuffer(pcm, np.int16).astype(np.int32) + 0x8000].tobytes()


def _expand(data: bytes, law: Law) -> NDArray[np.int16]:
    context = _context(law, "r")
    return np.concatenate([frame.to_ndarray()[0] for frame in context.decode(Packet(data))])


def _compress(samples: NDArray[np.int16], law: Law) -> NDArray[np.uint8]:
    context = _context(law, "w")
    frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = RATE
    packets = [*context.encode(frame), *context.encode(None)]
    return np.frombuffer(b"".join(bytes(packet) for packet in packets), np.uint8)


def _context(law: Law, mode: Literal["r", "w"]) -> AudioCodecContext:
    context = CodecContext.create(_CODECS[law], mode)
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = RATE, "mono", "s16"
    return context
