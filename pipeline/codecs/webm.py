"""Splits WebM, cut anywhere (RFC 8794, RFC 9559), into the packets of its first audio track."""

from collections.abc import Iterator

from pipeline.codecs.ogg import Stream, opus_stream
from pipeline.codecs.wav import unsupported_format
from pipeline.errors import AudioError

MAGIC = b"\x1a\x45\xdf\xa3"
MAX_ELEMENT = 1 << 20
"""Longest element (bytes) that must be kept whole; others pass through."""

_EBML, _SEGMENT, _CLUSTER, _GROUP = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xA0
_TRACKS, _ENTRY, _BLOCK, _SIMPLE_BLOCK = 0x1654AE6B, 0xAE, 0xA1, 0xA3
_NUMBER, _TYPE, _CODEC, _PRIVATE, _AUDIO, _CHANNELS, _ENCODINGS = 0xD7, 0x83, 0x86, 0x63A2, 0xE1, 0x9F, 0x6D80
_AUDIO_TYPE = 2
_CLUSTER_MAGIC = _CLUSTER.to_bytes(4)
_HEAD = 12  # bytes of the longest identifier and size


class WebmReader:
    """Reads one client's WebM: a new file may follow where an element ends, or a message begins.

    Children are read as if they were siblings of their parents: identifiers are unique, so that neither unknown sizes
    nor the ends of clusters matter.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0
        self._track: int | None = None
        self._is_lost = False  # looking for the next cluster

    def begin(self, start: bytes) -> None:
        """Begin a message with these bytes: a new file ends whatever was not complete."""
        if start.startswith(MAGIC):
            self._buffer.clear()
            self._skip, self._track, self._is_lost = 0, None, False

    def push(self, data: bytes) -> Iterator[Stream | bytes]:
        """Take the next bytes; yields a `Stream` before its packets.

        Raises `ProtocolError` UNSUPPORTED_FORMAT or `AudioError`; after the latter it continues at the next cluster.
        """
        self._buffer += data
        while self._buffer:
            if self._skip:
                taken = min(self._skip, len(self._buffer))
                del self._buffer[:taken]
                self._skip -= taken
            elif self._is_lost:
                self._find_cluster()
            else:
                element = self._element()
                if element is None:
                    return
                yield from self._take(*element)

    def _find_cluster(self) -> None:
        at = self._buffer.find(_CLUSTER_MAGIC)
        if at >= 0:
            del self._buffer[:at]
            self._is_lost = False
        else:
            self._buffer.clear()  # one cut inside its identifier is skipped, and the next one found

    def _element(self) -> tuple[int, bytes] | None:
        """Split off the next element, with its content if that is to be read; None if more bytes are needed."""
        buffer = self._buffer
        head = _head(buffer, 0)
        if head is None:
            if len(buffer) >= _HEAD:
                raise self._lose()
            return None
        name, size, start = head
        if name in (_SEGMENT, _CLUSTER, _GROUP):
            del buffer[:start]
            return name, b""
        if size is None:
            raise self._lose()
        if name not in (_TRACKS, _BLOCK, _SIMPLE_BLOCK):
            del buffer[:start]
            self._skip = size
            return name, b""
        if size > MAX_ELEMENT:
            raise self._lose()
        if len(buffer) < start + size:
            return None
        content = bytes(buffer[start : start + size])
        del buffer[: start + size]
        return name, content

    def _lose(self) -> AudioError:
        self._buffer.clear()
        self._is_lost = True
        return _malformed()

    def _take(self, name: int, content: bytes) -> Iterator[Stream | bytes]:
        if name == _EBML:
            self._track = None
        elif name == _TRACKS:
            self._track, stream = _choose(content)
            yield stream
        elif name in (_BLOCK, _SIMPLE_BLOCK):
            if self._track is None:
                raise unsupported_format("the WebM stream has no `Tracks` before its audio")
            yield from _frames(content, self._track)


def _malformed() -> AudioError:
    return AudioError("The WebM audio is damaged.", where="decode")


def _number(data: bytes | bytearray, at: int, *, is_name: bool = False) -> tuple[int, int, int] | None:
    """Read a variable-size integer (RFC 8794 section 4): its value, its largest value, its end."""
    if at >= len(data):
        return None
    length = 9 - data[at].bit_length()
    if length > (4 if is_name else 8) or at + length > len(data):
        return None
    value = int.from_bytes(data[at : at + length])
    largest = (1 << (7 * length)) - 1
    return value if is_name else value & largest, largest, at + length


def _head(data: bytes | bytearray, at: int) -> tuple[int, int | None, int] | None:
    """Read an element's identifier, its size (None: unknown) and the start of its content."""
    name = _number(data, at, is_name=True)
    size = None if name is None else _number(data, name[2])
    if name is None or size is None:
        return None
    return name[0], None if size[0] == size[1] else size[0], size[2]


def _children(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        name, size, start = _head(data, at) or (0, None, 0)
        if size is None or start + size > len(data):
            raise _malformed()
        at = start + size
        yield name, data[start:at]


def _choose(tracks: bytes) -> tuple[int, Stream]:
    """Return the first audio track that can be decoded."""
    codecs = []
    for name, content in _children(tracks):
        if name != _ENTRY:
            continue
        entry = dict(_children(content))
        if int.from_bytes(entry.get(_TYPE, b"")) != _AUDIO_TYPE:
            continue
        codec = entry.get(_CODEC, b"").rstrip(b"\0")
        number, private = int.from_bytes(entry.get(_NUMBER, b"")), entry.get(_PRIVATE, b"")
        if _ENCODINGS in entry:
            raise unsupported_format("the WebM track is compressed or encrypted as a whole")
        if codec == b"A_OPUS":
            return number, opus_stream(private)
        if codec == b"A_VORBIS":
            channels = int.from_bytes(dict(_children(entry.get(_AUDIO, b""))).get(_CHANNELS, b"\1"))
            return number, Stream("vorbis", channels, private)
        codecs.append(codec.decode("ascii", "replace")[:32])
    raise unsupported_format(f"the WebM has no Opus or Vorbis track{': only ' if codecs else ''}{', '.join(codecs)}")


def _frames(block: bytes, track: int) -> Iterator[bytes]:
    """Unlace a block (RFC 9559 section 10) of `track`."""
    number = _number(block, 0)
    if number is None or len(block) < number[2] + 3:
        raise _malformed()
    if number[0] != track:
        return
    lacing, data = (block[number[2] + 2] >> 1) & 3, block[number[2] + 3 :]
    if lacing == 0:
        sizes, at = [len(data)], 0
    elif not data:
        raise _malformed()
    elif lacing == 1:
        sizes, at = _xiph_sizes(data)
    elif lacing == 2:
        sizes, at = [(len(data) - 1) // (data[0] + 1)] * (data[0] + 1), 1
    else:
        sizes, at = _ebml_sizes(data)
    if at + sum(sizes) > len(data):
        raise _malformed()
    for size in sizes:
        if size:
            yield data[at : at + size]
        at += size


def _xiph_sizes(data: bytes) -> tuple[list[int], int]:
    sizes, at = [], 1
    for _ in range(data[0]):
        size = 0
        while at < len(data) and data[at] == 255:
            size, at = size + 255, at + 1
        if at >= len(data):
            raise _malformed()
        sizes.append(size + data[at])
        at += 1
    return _with_last(data, sizes, at)


def _ebml_sizes(data: bytes) -> tuple[list[int], int]:
    sizes: list[int] = []
    at = 1
    for _ in range(data[0]):
        number = _number(data, at)
        if number is None:
            raise _malformed()
        # The first is a size; the others are differences, biased to be positive.
        sizes.append(sizes[-1] + number[0] - number[1] // 2 if sizes else number[0])
        at = number[2]
        if sizes[-1] < 0:
            raise _malformed()
    return _with_last(data, sizes, at)


def _with_last(data: bytes, sizes: list[int], at: int) -> tuple[list[int], int]:
    last = len(data) - at - sum(sizes)
    if last < 0:
        raise _malformed()
    return [*sizes, last], at
