"""Data streams: text and bytes in several packets, as they are long or produced over time."""

import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from livekit.protocol.models import DataPacket, DataStream

from mediaserver.livekit.protocol.token_bucket import TokenBucket
from pipeline.errors import FaultCode, ProtocolError

CHUNK_BYTES = 15_000
"""The maximum content of one packet, which must fit a data channel message with its header."""

MAX_OPEN = 16
MAX_BYTES = 4_000_000
MAX_AGE = 60.0
"""Limits of one sender's open streams: their number, their bytes in total, and the age (s) of each."""

UNPACKED_RATE = 500_000.0
"""Bytes a second that one sender's compressed streams may unpack to; MAX_BYTES at once."""


@dataclass(frozen=True, slots=True)
class Received:
    """A complete stream; `attributes` are the header's, overridden by the trailer's."""

    id: str
    sender: str
    topic: str
    mime_type: str
    is_text: bool
    content: bytes
    attributes: Mapping[str, str]

    @property
    def text(self) -> str:
        """The content of a text stream. Raises `ProtocolError`."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            raise ProtocolError(f"The text stream {self.id[:64]} is not UTF-8.") from None


@dataclass(slots=True)
class _Open:
    header: DataStream.Header
    sender: str
    since: float
    content: bytearray = field(default_factory=bytearray)
    chunks: int = 0


class Assembler:
    """Reassembles one connection's streams on the given topics; others are ignored.

    `topics` gives the longest content of a stream on each topic, in bytes, unpacked where it is compressed. Raises only
    `ProtocolError`, which discards the stream concerned and no other.
    """

    def __init__(self, topics: Mapping[str, int], *, max_open: int = MAX_OPEN, max_bytes: int = MAX_BYTES):
        self._topics = dict(topics)
        self._unpacked = TokenBucket(rate=UNPACKED_RATE, burst=MAX_BYTES)
        self._max_open = max_open
        self._max_bytes = max_bytes
        self._open: dict[str, _Open] = {}

    def push(self, packet: DataPacket, now: float) -> Received | None:
        """Add a packet at `now` (s), and return the stream that it completes, if any."""
        self._expire(now)
        match packet.WhichOneof("value"):
            case "stream_header":
                return self._begin(packet.stream_header, packet.participant_identity, now)
            case "stream_chunk":
                self._continue(packet.stream_chunk)
            case "stream_trailer":
                return self._end(packet.stream_trailer, now)
        return None

    def _begin(self, header: DataStream.Header, sender: str, now: float) -> Received | None:
        if header.topic not in self._topics:
            return None
        if header.stream_id in self._open:
            del self._open[header.stream_id]
            raise _bad(header.stream_id, "has begun twice")
        stream = _Open(header, sender, now)
        if header.HasField("inline_content"):
            stream.content += header.inline_content
            return self._complete(stream, {}, now)
        if len(self._open) >= self._max_open:
            raise _bad(header.stream_id, f"is one more than the {self._max_open} that may be open at once")
        if header.total_length > self._topics[header.topic]:
            raise self._too_long(header)
        self._open[header.stream_id] = stream
        return None

    def _continue(self, chunk: DataStream.Chunk) -> None:
        stream = self._open.get(chunk.stream_id)
        if stream is None or chunk.chunk_index < stream.chunks:
            return  # of another topic, a refused stream, or a repetition
        if chunk.chunk_index > stream.chunks:
            del self._open[chunk.stream_id]
            raise _bad(chunk.stream_id, f"lacks its chunk {stream.chunks}")
        if len(stream.content) + len(chunk.content) > self._topics[stream.header.topic]:
            del self._open[chunk.stream_id]
            raise self._too_long(stream.header)
        if sum(len(each.content) for each in self._open.values()) + len(chunk.content) > self._max_bytes:
            del self._open[chunk.stream_id]
            raise self._too_large(chunk.stream_id)
        stream.chunks += 1
        stream.content += chunk.content

    def _end(self, trailer: DataStream.Trailer, now: float) -> Received | None:
        stream = self._open.pop(trailer.stream_id, None)
        if stream is None:
            return None
        if trailer.reason:
            raise _bad(trailer.stream_id, f"was given up by its sender: {trailer.reason[:200]}")
        return self._complete(stream, trailer.attributes, now)

    def _complete(self, stream: _Open, attributes: Mapping[str, str], now: float) -> Received:
        header = stream.header
        content = self._content(stream, now)
        if header.HasField("total_length") and header.total_length != len(content):
            raise _bad(header.stream_id, f"was to have {header.total_length} bytes and has {len(content)}")
        return Received(
            id=header.stream_id,
            sender=stream.sender,
            topic=header.topic,
            mime_type=header.mime_type,
            is_text=header.HasField("text_header"),
            content=content,
            attributes=dict(header.attributes) | dict(attributes),
        )

    def _content(self, stream: _Open, now: float) -> bytes:
        header = stream.header
        match header.compression:
            case DataStream.NONE:
                content = bytes(stream.content)
            case DataStream.DEFLATE_RAW:
                content = self._unpack(stream, now)
            case _:
                raise _bad(header.stream_id, "has an unknown compression")
        if len(content) > self._topics[header.topic]:
            raise self._too_long(header)
        return content

    def _unpack(self, stream: _Open, now: float) -> bytes:
        """Unpack at most a byte more than the topic allows; 4 kB could make 4 MB."""
        header = stream.header
        if not self._unpacked.admit(now):
            message = f"Compressed streams may unpack to {UNPACKED_RATE:.0f} bytes a second."
            raise ProtocolError(message, code=FaultCode.RATE_LIMITED)
        limit = self._topics[header.topic]
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = unpacker.decompress(bytes(stream.content), limit + 1)
        except zlib.error:
            raise _bad(header.stream_id, "cannot be unpacked") from None
        self._unpacked.charge(len(content))
        if not unpacker.eof and len(content) <= limit:
            raise _bad(header.stream_id, "is cut off")
        return content

    def _expire(self, now: float) -> None:
        # Later packets of an expired stream are ignored, as those of an unknown stream.
        for name in [name for name, stream in self._open.items() if now - stream.since > MAX_AGE]:
            del self._open[name]

    def _too_long(self, header: DataStream.Header) -> ProtocolError:
        limit = self._topics[header.topic]
        message = f"The stream {header.stream_id[:64]} has more than {limit} bytes, as many as its topic takes."
        return ProtocolError(message, code=FaultCode.PAYLOAD_TOO_LARGE)

    def _too_large(self, name: str) -> ProtocolError:
        message = f"The stream {name[:64]} makes more than the {self._max_bytes} bytes that may be open at once."
        return ProtocolError(message, code=FaultCode.PAYLOAD_TOO_LARGE)


class TextWriter:
    """Renders one text stream, piece by piece, as packets."""

    def __init__(
        self, topic: str, attributes: Mapping[str, str], *, to: tuple[str, ...] = (), total: int | None = None
    ):
        self.id = uuid.uuid4().hex
        self._topic = topic
        self._attributes = dict(attributes)
        self._to = to
        self._total = total
        self._chunks = 0

    def begin(self) -> DataPacket:
        """Return the header packet."""
        header = DataStream.Header(
            stream_id=self.id,
            timestamp=int(time.time() * 1000),
            topic=self._topic,
            mime_type="text/plain",
            attributes=self._attributes,
            text_header=DataStream.TextHeader(operation_type=DataStream.CREATE),
        )
        if self._total is not None:
            header.total_length = self._total
        return DataPacket(stream_header=header, destination_identities=self._to)

    def write(self, text: str) -> Iterator[DataPacket]:
        """Return the packets of the next piece of text."""
        for piece in split_utf8(text.encode(), CHUNK_BYTES):
            chunk = DataStream.Chunk(stream_id=self.id, chunk_index=self._chunks, content=piece)
            self._chunks += 1
            yield DataPacket(stream_chunk=chunk, destination_identities=self._to)

    def end(self, attributes: Mapping[str, str] | None = None) -> DataPacket:
        """Return the trailer packet; its attributes override the header's."""
        trailer = DataStream.Trailer(stream_id=self.id, attributes=dict(attributes or {}))
        return DataPacket(stream_trailer=trailer, destination_identities=self._to)


def text_stream(
    topic: str, text: str, attributes: Mapping[str, str], *, to: tuple[str, ...] = ()
) -> Iterator[DataPacket]:
    """Return the packets of a complete text."""
    writer = TextWriter(topic, attributes, to=to, total=len(text.encode()))
    yield writer.begin()
    yield from writer.write(text)
    yield writer.end()


def split_utf8(data: bytes, max_bytes: int) -> Iterator[bytes]:
    """Split UTF-8 into valid pieces of at most `max_bytes` (4 or more)."""
    start = 0
    while start < len(data):
        end = start + max_bytes
        # RFC 3629 section 3: a byte of the form 10xxxxxx continues a character.
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end


def _bad(name: str, reason: str) -> ProtocolError:
    return ProtocolError(f"The stream {name[:64]} {reason}.")
