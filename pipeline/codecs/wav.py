"""Reads WAV from clients: whole files one after the other, or one stream cut anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from pipeline.audio.resampler import MAX_RATE, MIN_RATE
from pipeline.errors import AudioError, FaultCode, ProtocolError

Samples = NDArray[np.int16]

MAX_HEADER = 65_536
"""Most bytes of a `fmt ` chunk; other chunks are skipped and never kept."""

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
"""WAVE_FORMAT_ tags, of mmreg.h."""

_ENDLESS = 0x7FFFF000
"""Sizes from here on mean that the writer did not know the size; so does 0."""

_RIFFS = (b"RIFF", b"RF64")
# Chunks that may follow a file's data; anything else there is more data.
_TRAILERS = (*_RIFFS, b"LIST", b"JUNK", b"PAD ", b"fact", b"cue ", b"smpl", b"bext", b"PEAK", b"id3 ", b"ID3 ", b"iXML")


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of samples: `tag` is a WAVE_FORMAT_ tag, `width` the bytes of one sample."""

    tag: int
    rate: int
    channels: int
    width: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.width * self.channels

    def check(self) -> None:
        """Raise `ProtocolError` UNSUPPORTED_FORMAT for a layout that cannot be decoded."""
        check_sound_format(self.rate, self.channels)
        if self.width not in _WIDTHS.get(self.tag, ()):
            raise unsupported_format(f"WAV of type {self.tag} with {8 * self.width} bits")


_WIDTHS = {PCM: (1, 2, 3, 4), FLOAT: (4, 8), ALAW: (1,), MULAW: (1,)}


def unsupported_format(what: str) -> ProtocolError:
    """Make the error for a kind of audio that is not accepted."""
    return ProtocolError(f"The audio cannot be read: {what}.", code=FaultCode.UNSUPPORTED_FORMAT)


def check_sound_format(rate: int, channels: int) -> None:
    """Raise `ProtocolError` UNSUPPORTED_FORMAT outside 8 to 48 kHz and 1 or 2 channels."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise unsupported_format(f"{rate} Hz; {MIN_RATE} to {MAX_RATE} Hz are accepted")
    if channels not in (1, 2):
        raise unsupported_format(f"{channels} channels; 1 or 2 are accepted")


def mix(samples: NDArray[np.int16]) -> Samples:
    """Mix (n, channels) samples down to (n,)."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mixed: Samples = (samples.sum(axis=1, dtype=np.int32) // samples.shape[1]).astype(np.int16)
    return mixed


class PcmReader:
    """Reads interleaved samples cut anywhere, even inside one, as mono 16-bit samples."""

    def __init__(self, layout: Layout):
        layout.check()
        self.layout = layout
        self._rest = b""

    def push(self, data: bytes) -> Samples:
        """Take the next bytes and return the samples they complete."""
        data = self._rest + data
        whole = len(data) - len(data) % self.layout.frame_bytes
        self._rest = data[whole:]
        return mix(_to_s16(data[:whole], self.layout).reshape(-1, self.layout.channels))


class WavReader:
    """Reads one client's WAV: `begin` before each message, then its bytes in pieces of any size.

    Data of unknown size lasts until a message begins with a new header, and so does data after a file that is not a
    chunk: some clients send the header with their first piece only and then bare samples.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._skip = 0
        self._left = 0  # bytes of the data chunk still to come
        self._pad = 0  # and of the padding after it
        self._reader: PcmReader | None = None
        self._is_started = False
        self._has_samples = False

    def begin(self, start: bytes) -> None:
        """Begin a message with these bytes: a header ends whatever was not complete."""
        if start[:4] in _RIFFS and start[8:12] in (b"WAVE", b""):
            self._buffer, self._skip, self._left = b"", 0, 0

    def push(self, data: bytes) -> Iterator[tuple[Samples, int]]:
        """Take the next bytes; yields mono samples with their rate. Raises `ProtocolError` UNSUPPORTED_FORMAT."""
        self._buffer += data
        while self._buffer:
            if self._skip:
                taken = min(self._skip, len(self._buffer))
                self._buffer, self._skip = self._buffer[taken:], self._skip - taken
            elif self._left and self._reader is not None:
                yield self._read_samples(self._reader)
            elif not self._read_chunk():
                return

    def _read_samples(self, reader: PcmReader) -> tuple[Samples, int]:
        taken = self._buffer[: self._left]
        self._buffer = self._buffer[len(taken) :]
        if self._left < _ENDLESS:
            self._left -= len(taken)
            self._skip = 0 if self._left else self._pad
        self._has_samples = True
        return reader.push(taken), reader.layout.rate

    def _read_chunk(self) -> bool:
        """Read one chunk's header, and its content if wanted; False if more bytes are needed."""
        name = self._buffer[:4]
        if not self._is_started and not _may_be(name, _RIFFS):
            raise unsupported_format("it does not begin with a WAV header")
        if self._has_samples and not _may_be(name, _TRAILERS):
            self._left = _ENDLESS
            return True
        if len(self._buffer) < (12 if name in _RIFFS else 8):
            return False
        size = int.from_bytes(self._buffer[4:8], "little")
        if name in _RIFFS:
            self._open()
        elif name == b"fmt ":
            return self._read_layout(size)
        elif name == b"data":
            if self._reader is None:
                raise unsupported_format("the WAV has no `fmt ` chunk before its data")
            # The size is 0 in a file where it was never filled in. Chunks are padded to even sizes.
            self._left, self._pad = (size, size % 2) if 0 < size < _ENDLESS else (_ENDLESS, 0)
            self._buffer = self._buffer[8:]
        else:
            self._buffer, self._skip = self._buffer[8:], size + size % 2
        return True

    def _open(self) -> None:
        if self._buffer[8:12] != b"WAVE":
            raise unsupported_format("it is RIFF, but not WAVE")
        self._buffer = self._buffer[12:]
        self._is_started, self._has_samples, self._reader = True, False, None

    def _read_layout(self, size: int) -> bool:
        if size > MAX_HEADER:
            raise unsupported_format("the WAV header is too long")
        end = 8 + size + size % 2
        if len(self._buffer) < end:
            return False
        self._reader = PcmReader(_layout(self._buffer[8 : 8 + size]))
        self._buffer = self._buffer[end:]
        return True


def _may_be(start: bytes, names: tuple[bytes, ...]) -> bool:
    return any(name.startswith(start) for name in names)


def _layout(fmt: bytes) -> Layout:
    if len(fmt) < 16:
        raise unsupported_format("the WAV header is too short")
    tag, channels = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[2:4], "little")
    rate, align = int.from_bytes(fmt[4:8], "little"), int.from_bytes(fmt[12:14], "little")
    if tag == EXTENSIBLE and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], "little")  # the first two bytes of the sub-format's GUID
    # 20 or 24 bits may lie in a container of 3 or 4 bytes, left-justified.
    width = align // channels if channels else 0
    return Layout(tag, rate, channels, width)


def _to_s16(data: bytes, layout: Layout) -> Samples:
    match layout.tag, layout.width:
        case 1, 1:
            return ((np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)
        case 1, 2:
            return np.frombuffer(data, "<i2").astype(np.int16, copy=False)
        case 1, 3:
            high = np.frombuffer(data, np.uint8).reshape(-1, 3)[:, 1:]
            return np.ascontiguousarray(high).view("<i2")[:, 0].astype(np.int16, copy=False)
        case 1, 4:
            return (np.frombuffer(data, "<i4") >> 16).astype(np.int16)
        case 3, width:
            return from_float(np.frombuffer(data, "<f4" if width == 4 else "<f8"))
        case tag, _:
            return _companded(data, "pcm_alaw" if tag == ALAW else "pcm_mulaw")


def from_float(samples: NDArray[np.float32] | NDArray[np.float64]) -> Samples:
    """Convert full scale 1.0 to 16 bits; NaN becomes silence."""
    bounded = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)
    return (bounded * 32_767).astype(np.int16)


def _companded(data: bytes, codec: str) -> Samples:
    if not data:
        return np.zeros(0, np.int16)
    context = CodecContext.create(codec, "r")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = MIN_RATE  # the decoder uses neither
    context.layout = "mono"
    try:
        frames = context.decode(Packet(data))
    except (FFmpegError, ValueError) as error:
        raise AudioError("The WAV's samples cannot be decoded.", where="decode") from error
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
