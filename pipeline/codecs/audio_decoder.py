"""Audio as clients send it, in any accepted format and cut anywhere, to mono chunks; bounded in memory and time."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet

from pipeline.codecs import ogg, webm
from pipeline.codecs.libopus import Decoder
from pipeline.codecs.mp3 import Mp3Reader
from pipeline.codecs.wav import PCM, Layout, PcmReader, Samples, WavReader, check_sound, from_float, mix, unsupported
from pipeline.errors import AudioError, FaultCode, ProtocolError
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, AudioChunk

CHUNK = 0.1
"""Longest chunk (s) that is given out; what is longer comes in several."""

MAX_SECONDS = 1_200.0
"""Most audio (s) of one message: more than 12 MiB of uncompressed speech hold."""

PIECE = 4_096
"""Bytes that are read at once: even crafted ones take a few milliseconds."""

Sound = tuple[Samples, int]
"""Mono samples and their rate (Hz)."""


class AudioFormat(StrEnum):
    """What a client may call its audio; of the compressed ones the data itself says which it is."""

    WAV = "wav"
    PCM = "pcm"
    OPUS = "opus"
    WEBM = "webm"
    OGG = "ogg"
    MP3 = "mp3"


class _Reader(Protocol):
    def begin(self, start: bytes) -> None: ...

    def push(self, data: bytes) -> Iterator[Sound]: ...


class AudioDecoder:
    """One client's audio, message by message; its time is counted from the samples it gives."""

    def __init__(self) -> None:
        self._kind: tuple[object, ...] = ()
        self._reader: _Reader | None = None
        self._rate = 0
        self._origin = 0.0  # where this rate began
        self._given = 0  # samples since

    def push(
        self, data: bytes, *, audio_format: AudioFormat, rate: int = INPUT_SAMPLE_RATE, channels: int = 1
    ) -> Iterator[AudioChunk | None]:
        """Decode one message as it is iterated: chunks of at most 0.1 s, and None where others may have their turn.

        `rate` and `channels` are believed for PCM only. Raises `ProtocolError` (UNSUPPORTED_FORMAT, or
        PAYLOAD_TOO_LARGE for more than 1200 s) or `AudioError`; what was given before stands.
        """
        reader = self._reader_for(audio_format, rate, channels)
        reader.begin(data[:12])
        seconds = 0.0
        try:
            for start in range(0, len(data), PIECE):
                for samples, sound_rate in reader.push(data[start : start + PIECE]):
                    check_sound(sound_rate, 1)
                    for chunk in self._cut(samples, sound_rate):
                        seconds += chunk.duration
                        if seconds > MAX_SECONDS:
                            raise ProtocolError(
                                f"One message may hold {MAX_SECONDS:.0f} s of audio.", code=FaultCode.PAYLOAD_TOO_LARGE
                            )
                        yield chunk
                yield None
        except ProtocolError:
            self._reader = None
            raise

    def _reader_for(self, audio_format: AudioFormat, rate: int, channels: int) -> _Reader:
        match audio_format:
            case AudioFormat.PCM:
                kind: tuple[object, ...] = (audio_format, rate, channels)
            case AudioFormat.OPUS | AudioFormat.WEBM | AudioFormat.OGG:
                kind = ("compressed", audio_format is AudioFormat.OPUS)
            case _:
                kind = (audio_format,)
        if self._reader is None or kind != self._kind:
            self._kind = kind
            self._reader = _make_reader(audio_format, rate, channels)
        return self._reader

    def _cut(self, samples: Samples, rate: int) -> Iterator[AudioChunk]:
        if rate != self._rate:
            if self._rate:
                self._origin += self._given / self._rate
            self._rate, self._given = rate, 0
        step = int(CHUNK * rate)
        for start in range(0, len(samples), step):
            pcm = samples[start : start + step].astype("<i2", copy=False).tobytes()
            yield AudioChunk(pcm, rate, self._origin + self._given / rate)
            self._given += len(pcm) // SAMPLE_BYTES


def _make_reader(audio_format: AudioFormat, rate: int, channels: int) -> _Reader:
    match audio_format:
        case AudioFormat.WAV:
            return WavReader()
        case AudioFormat.PCM:
            return _Pcm(rate, channels)
        case AudioFormat.MP3:
            return _Mp3()
        case _:
            return _Contained(takes_bare=audio_format is AudioFormat.OPUS)


class _Pcm:
    def __init__(self, rate: int, channels: int):
        self._rate = rate
        self._reader = PcmReader(Layout(PCM, rate, channels, SAMPLE_BYTES))

    def begin(self, start: bytes) -> None:
        """A sample may be split between messages."""

    def push(self, data: bytes) -> Iterator[Sound]:
        yield self._reader.push(data), self._rate


class _Mp3:
    def __init__(self) -> None:
        self._frames = Mp3Reader()
        self._codec = _open("mp3")
        self._bad = 0

    def begin(self, start: bytes) -> None:
        self._frames.begin(start)

    def push(self, data: bytes) -> Iterator[Sound]:
        for frame in self._frames.push(data):
            try:
                yield from _decode(self._codec, frame)
            except AudioError:
                # The first frames after a cut lean on ones that are gone, and what looks like a frame may be none.
                self._bad += 1
                if self._bad > _MOST_BAD:
                    self._bad = 0
                    raise
            else:
                self._bad = 0


_MOST_BAD = 10


class _Contained:
    """Ogg or WebM, whichever the data is, or bare Opus: then each message is one packet."""

    def __init__(self, *, takes_bare: bool):
        self._takes_bare = takes_bare
        self._start: bytes | None = b""  # while it is not known which
        self._container: ogg.OggReader | webm.WebmReader | None = None
        self._codec: Decoder | AudioCodecContext | None = None

    def begin(self, start: bytes) -> None:
        if start.startswith((ogg.MAGIC, webm.MAGIC)):
            wanted = ogg.OggReader if start.startswith(ogg.MAGIC) else webm.WebmReader
            if not isinstance(self._container, wanted):
                self._start, self._container, self._codec = b"", None, None
        if self._container is not None:
            self._container.begin(start)

    def push(self, data: bytes) -> Iterator[Sound]:
        if self._container is None:
            data = (self._start or b"") + data
            if any(magic.startswith(data[:4]) for magic in (ogg.MAGIC, webm.MAGIC)) and len(data) < 4:
                self._start = data
                return
            self._start = b""
            if data.startswith(ogg.MAGIC):
                self._container = ogg.OggReader()
            elif data.startswith(webm.MAGIC):
                self._container = webm.WebmReader()
            elif self._takes_bare:
                yield from self._hear(data)
                return
            else:
                raise unsupported("it is neither Ogg nor WebM")
        for item in self._container.push(data):
            if isinstance(item, ogg.Stream):
                check_sound(INPUT_SAMPLE_RATE, item.channels)
                self._codec = (
                    Decoder(rate=INPUT_SAMPLE_RATE) if item.codec == "opus" else _open("vorbis", item.extradata)
                )
            else:
                yield from self._hear(item)

    def _hear(self, packet: bytes) -> Iterator[Sound]:
        if isinstance(self._codec, AudioCodecContext):
            yield from _decode(self._codec, packet)
            return
        self._codec = self._codec or Decoder(rate=INPUT_SAMPLE_RATE)
        yield np.frombuffer(self._codec.decode(packet), "<i2"), INPUT_SAMPLE_RATE


def _open(codec: str, extradata: bytes | None = None) -> AudioCodecContext:
    context = CodecContext.create(codec, "r")
    assert isinstance(context, AudioCodecContext)
    context.extradata = extradata
    try:
        context.open(strict=False)
    except (FFmpegError, ValueError) as error:
        raise unsupported(f"its {codec} header is malformed") from error
    return context


def _decode(codec: AudioCodecContext, packet: bytes) -> Iterator[Sound]:
    try:
        frames = codec.decode(Packet(packet))
    except (FFmpegError, ValueError) as error:
        raise AudioError("The audio cannot be decoded.", where="decode") from error
    for frame in frames:
        yield _mono(frame), frame.sample_rate


def _mono(frame: AudioFrame) -> Samples:
    channels = frame.layout.nb_channels
    check_sound(frame.sample_rate, channels)
    values = frame.to_ndarray()
    by_sample = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype.kind == "f":
        return mix(from_float(by_sample.astype(np.float32, copy=False)))
    return mix(by_sample.astype(np.int16, copy=False))
