"""Decodes clients' audio, in any accepted format and cut anywhere, to mono chunks; bounded in memory and time."""

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
from pipeline.codecs.wav import (
    PCM,
    Layout,
    PcmReader,
    Samples,
    WavReader,
    check_sound_format,
    from_float,
    mix,
    unsupported_format,
)
from pipeline.errors import AudioError, FaultCode, ProtocolError
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, AudioChunk

MAX_CHUNK = 0.1
"""Longest chunk (s) yielded; longer audio is split."""

MAX_SECONDS = 1_200.0
"""Longest audio (s) of one message: more than 12 MiB of uncompressed speech hold."""

READ_BYTES = 4_096
"""Bytes read at once: even crafted ones take a few milliseconds."""

Sound = tuple[Samples, int]
"""Mono samples and their rate (Hz)."""


class AudioFormat(StrEnum):
    """Formats that a client may declare; compressed ones are detected from the data itself."""

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
    """Decodes one client's audio, message by message; time is counted in samples."""

    def __init__(self) -> None:
        self._kind: tuple[object, ...] = ()
        self._reader: _Reader | None = None
        self._rate = 0
        self._origin = 0.0  # where this rate began
        self._yielded_samples = 0  # samples since

    def push(
        self, data: bytes, *, audio_format: AudioFormat, rate: int = INPUT_SAMPLE_RATE, channels: int = 1
    ) -> Iterator[AudioChunk | None]:
        """Decode one message as it is iterated: chunks of at most 0.1 s, and None where the caller may yield to others.

        `rate` and `channels` apply to PCM only. Raises `ProtocolError` (UNSUPPORTED_FORMAT, or PAYLOAD_TOO_LARGE for
        more than 1200 s) or `AudioError`; chunks yielded before stay valid.
        """
        reader = self._reader_for(audio_format, rate, channels)
        reader.begin(data[:12])
        seconds = 0.0
        try:
            for start in range(0, len(data), READ_BYTES):
                for samples, sound_rate in reader.push(data[start : start + READ_BYTES]):
                    check_sound_format(sound_rate, 1)
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
                self._origin += self._yielded_samples / self._rate
            self._rate, self._yielded_samples = rate, 0
        step = int(MAX_CHUNK * rate)
        for start in range(0, len(samples), step):
            pcm = samples[start : start + step].astype("<i2", copy=False).tobytes()
            yield AudioChunk(pcm, rate, self._origin + self._yielded_samples / rate)
            self._yielded_samples += len(pcm) // SAMPLE_BYTES


def _make_reader(audio_format: AudioFormat, rate: int, channels: int) -> _Reader:
    match audio_format:
        case AudioFormat.WAV:
            return WavReader()
        case AudioFormat.PCM:
            return _Pcm(rate, channels)
        case AudioFormat.MP3:
            return _Mp3()
        case _:
            return _ContainerReader(takes_bare=audio_format is AudioFormat.OPUS)


class _Pcm:
    def __init__(self, rate: int, channels: int):
        self._rate = rate
        self._reader = PcmReader(Layout(PCM, rate, channels, SAMPLE_BYTES))

    def begin(self, start: bytes) -> None:
        """Do nothing: a sample may be split between messages."""

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
                # The first frames after a cut depend on lost ones, and other data may look like a frame.
                self._bad += 1
                if self._bad > _MAX_BAD_FRAMES:
                    self._bad = 0
                    raise
            else:
                self._bad = 0


_MAX_BAD_FRAMES = 10


class _ContainerReader:
    """Reads Ogg or WebM, as detected, or bare Opus with one packet per message."""

    def __init__(self, *, takes_bare: bool):
        self._takes_bare = takes_bare
        self._start: bytes | None = b""  # until the container is detected
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
                yield from self._decode_packet(data)
                return
            else:
                raise unsupported_format("it is neither Ogg nor WebM")
        for item in self._container.push(data):
            if isinstance(item, ogg.Stream):
                check_sound_format(INPUT_SAMPLE_RATE, item.channels)
                self._codec = (
                    Decoder(rate=INPUT_SAMPLE_RATE) if item.codec == "opus" else _open("vorbis", item.extradata)
                )
            else:
                yield from self._decode_packet(item)

    def _decode_packet(self, packet: bytes) -> Iterator[Sound]:
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
        raise unsupported_format(f"its {codec} header is malformed") from error
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
    check_sound_format(frame.sample_rate, channels)
    values = frame.to_ndarray()
    by_sample = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype.kind == "f":
        return mix(from_float(by_sample.astype(np.float32, copy=False)))
    return mix(by_sample.astype(np.int16, copy=False))
