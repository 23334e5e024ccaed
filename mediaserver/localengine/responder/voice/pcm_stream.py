"""Turns a stream of raw PCM or WAV into the samples of the assistant's speech."""

import struct

import av
import numpy as np

from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE

_LONGEST_HEADER = 4_096  # bytes
_PCM, _EXTENSIBLE = 1, 0xFFFE  # WAVE_FORMAT_ of mmreg.h


class UnsupportedAudioError(Exception):
    """The data is no audio that can be read; the message completes "the server sent ..."."""


class PcmStream:
    """Decodes 16-bit WAV, or raw 24 kHz mono PCM where there is no WAV header. Raises `UnsupportedAudioError`."""

    def __init__(self, content_type: str):
        if content_type.startswith("text/") or content_type.endswith(
            ("json", "mpeg", "mp3", "ogg", "opus", "flac", "aac")
        ):
            raise UnsupportedAudioError(f"{content_type} instead of PCM or WAV")
        self._header: bytes | None = b""  # None after it
        self._rest = b""
        self._channels = 1
        self._rate = SPEECH_SAMPLE_RATE
        self._resampler: av.AudioResampler | None = None

    def push(self, data: bytes) -> bytes:
        """Return what can be decoded so far, as 24 kHz mono 16-bit PCM."""
        if self._header is not None:
            self._header += data
            data = self._read_header()
        data = self._rest + data
        usable = len(data) // (SAMPLE_BYTES * self._channels) * SAMPLE_BYTES * self._channels
        self._rest = data[usable:]
        return self._resampled(data[:usable])

    def flush(self) -> bytes:
        """Return what the resampler still holds; raises if the header never ended."""
        if self._header:
            raise UnsupportedAudioError("an incomplete WAV header")
        if self._resampler is None:
            return b""
        return b"".join(part.to_ndarray().tobytes() for part in self._resampler.resample(None))

    def _read_header(self) -> bytes:
        header = self._header or b""
        if not header.startswith(b"RIFF"[: len(header)]):
            self._header = None
            return header
        place = 12
        while len(header) >= place + 8:
            name, size = struct.unpack_from("<4sI", header, place)
            if name == b"data":  # its size is unknown to a server that streams
                self._header = None
                return header[place + 8 :]
            if name == b"fmt " and len(header) >= place + 24:
                self._read_format(header, place + 8)
            place += 8 + size + size % 2
        if len(header) > _LONGEST_HEADER or place > _LONGEST_HEADER:
            raise UnsupportedAudioError("a WAV header without audio")
        return b""

    def _read_format(self, header: bytes, place: int) -> None:
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header, place)
        if kind not in (_PCM, _EXTENSIBLE) or bits != 8 * SAMPLE_BYTES or channels not in (1, 2):
            raise UnsupportedAudioError(f"WAV of {bits} bits, {channels} channels and format {kind}")
        if not 8_000 <= rate <= 96_000:
            raise UnsupportedAudioError(f"WAV at {rate} Hz")
        self._channels, self._rate = channels, rate

    def _resampled(self, pcm: bytes) -> bytes:
        if not pcm or (self._rate, self._channels) == (SPEECH_SAMPLE_RATE, 1):
            return pcm
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_SAMPLE_RATE)
        samples = np.frombuffer(pcm, np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono" if self._channels == 1 else "stereo")
        frame.rate = self._rate
        return b"".join(part.to_ndarray().tobytes() for part in self._resampler.resample(frame))
