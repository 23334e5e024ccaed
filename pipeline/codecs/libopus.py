"""Binds libopus by ctypes: PyAV decodes at 48 kHz only, and encodes behind a filter graph with two threads."""

import ctypes
import ctypes.util
from pathlib import Path

import av

from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES

MAX_PACKET = 65_535
"""Longest packet (bytes) that is accepted: a UDP datagram's. RFC 6716's largest, unpadded, has 61,296."""

MAX_SECONDS = 0.12
"""Longest packet in seconds (RFC 6716 section 3.2.5), and longest gap that is concealed."""

_MAX_FRAME_BYTES = 1_275  # RFC 6716 section 3.2.1

# From opus_defines.h; they never change.
_AUDIO = 2049
_SET_BITRATE, _SET_VBR, _SET_COMPLEXITY, _SET_PACKET_LOSS, _SET_VBR_CONSTRAINT = 4002, 4006, 4010, 4014, 4020


def find(package: Path) -> str:
    """Return the path of libopus: in PyAV's wheel (`package`), else in the system. Raises ImportError."""
    for folder in (package.parent / "av.libs", package / ".dylibs"):  # Linux and Windows; macOS
        for file in sorted(folder.glob("*opus*")):
            return str(file)
    name = ctypes.util.find_library("opus")
    if name is None:
        raise ImportError(
            "libopus is needed and was found neither in PyAV's wheel nor in the system; "
            "install it (Debian: apt install libopus0; macOS: brew install opus) or PyAV from its wheel: pip install av"
        )
    return name


# PyDLL keeps the interpreter's lock: for 50 us it is not worth a wait of up to 5 ms behind a busy thread, and no two
# threads can use one codec.
_lib = ctypes.PyDLL(find(Path(av.__file__).parent))
_int, _state = ctypes.c_int, ctypes.c_void_p
for _name, _arguments in {
    "opus_encoder_get_size": [_int],
    "opus_encoder_init": [_state, ctypes.c_int32, _int, _int],
    # The value is variadic, so it is not declared here: Apple's arm64 passes it differently.
    "opus_encoder_ctl": [_state, _int],
    "opus_encode": [_state, ctypes.c_char_p, _int, _state, ctypes.c_int32],
    "opus_decoder_get_size": [_int],
    "opus_decoder_init": [_state, ctypes.c_int32, _int],
    "opus_decode": [_state, ctypes.c_char_p, ctypes.c_int32, _state, _int, _int],
}.items():
    getattr(_lib, _name).argtypes = _arguments
_lib.opus_strerror.restype = ctypes.c_char_p


class Encoder:
    """Encodes mono speech of `rate` (8, 12, 16, 24 or 48 kHz), by CELT at a variable bit rate (bit/s)."""

    def __init__(self, *, rate: int, bitrate: int, complexity: int, packet_loss: int):
        # Its state is plain memory, freed with the object: nothing to close.
        self._state = ctypes.create_string_buffer(_lib.opus_encoder_get_size(1))
        self._packet = ctypes.create_string_buffer(1 + _MAX_FRAME_BYTES)
        self._at = ctypes.addressof(self._packet)
        _check(_lib.opus_encoder_init(self._state, rate, 1, _AUDIO), "The encoder could not be made")
        for request, value in (
            (_SET_BITRATE, bitrate),
            (_SET_VBR, 1),
            (_SET_VBR_CONSTRAINT, 0),
            (_SET_COMPLEXITY, complexity),
            (_SET_PACKET_LOSS, packet_loss),
        ):
            _check(
                _lib.opus_encoder_ctl(self._state, request, ctypes.c_int32(value)), "The encoder refuses its setting"
            )

    def encode(self, pcm: bytes) -> bytes:
        """Return the packet for 2.5, 5, 10, 20, 40 or 60 ms of 16-bit PCM, or raise `AudioError`."""
        size = _lib.opus_encode(self._state, pcm, len(pcm) // SAMPLE_BYTES, self._packet, len(self._packet))
        _check(size, "Speech could not be encoded")
        return ctypes.string_at(self._at, size)


def is_stereo(packet: bytes) -> bool:
    """Whether a packet has two channels (RFC 6716 section 3.1)."""
    return bool(packet) and bool(packet[0] & 4)


class Decoder:
    """Decodes Opus packets, mono or stereo, to audio of `rate` (8, 12, 16, 24 or 48 kHz) and 1 or 2 `channels`."""

    def __init__(self, *, rate: int, channels: int = 1):
        self._max_samples = int(rate * MAX_SECONDS)
        self._grain = rate // 400  # Opus counts time in 2.5 ms
        self._sample_bytes = SAMPLE_BYTES * channels
        self._state = ctypes.create_string_buffer(_lib.opus_decoder_get_size(channels))
        self._pcm = ctypes.create_string_buffer(self._max_samples * self._sample_bytes)
        self._at = ctypes.addressof(self._pcm)
        _check(_lib.opus_decoder_init(self._state, rate, channels), "The decoder could not be made")

    def decode(self, packet: bytes) -> bytes:
        """Return a packet's 16-bit PCM (2.5 to 120 ms, channels interleaved), or raise `AudioError`."""
        return self._decode(packet, self._max_samples, is_lost=False)

    def recover(self, packet: bytes, samples: int) -> bytes:
        """Return PCM for about `samples` (at most 120 ms) lost right before `packet`, or raise `AudioError`.

        The end of it comes from the packet's copy of its predecessor (in-band FEC), if it has one. The rest is
        concealment, which fades. Then `decode` the packet itself.
        """
        samples = min(samples, self._max_samples) // self._grain * self._grain
        return self._decode(packet, samples, is_lost=True) if samples > 0 else b""

    def _decode(self, packet: bytes, samples: int, *, is_lost: bool) -> bytes:
        # For libopus no bytes mean a lost packet, which it would conceal.
        if not 0 < len(packet) <= MAX_PACKET:
            raise AudioError(f"An Opus packet has 1 to {MAX_PACKET} bytes, not {len(packet)}.", where="opus")
        count = _lib.opus_decode(self._state, packet, len(packet), self._pcm, samples, is_lost)
        _check(count, "The Opus packet could not be decoded")
        return ctypes.string_at(self._at, count * self._sample_bytes)


def _check(code: int, what: str) -> None:
    if code < 0:
        raise AudioError(f"{what}: {_lib.opus_strerror(code).decode()}.", where="opus")
