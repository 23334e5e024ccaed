"""G.711 packets of one RTP source: reordered and decoded."""

from collections.abc import Iterable, Iterator

from mediaserver.rtc.inbound.decoded_audio import DecodedAudio, unwrap
from mediaserver.rtc.inbound.reorder_buffer import Packet, ReorderBuffer
from pipeline.codecs.g711 import G711, RATE, Law


class G711Stream:
    """Decodes the packets of one SSRC; what is lost becomes silence later, by its missing timestamps."""

    rate = RATE

    def __init__(self, law: Law) -> None:
        self._reorder = ReorderBuffer()
        self._codec = G711(law)
        self._clock = 0  # RTP time of the last packet, unwrapped

    @property
    def due(self) -> float | None:
        """The clock (s) at which `expire` must be called, or None."""
        return self._reorder.due

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> Iterator[DecodedAudio]:
        """Decode a packet received at `now` (s)."""
        return self._decode(self._reorder.push(sequence, timestamp, payload, now))

    def expire(self, now: float) -> Iterator[DecodedAudio]:
        """Give up packets that are overdue at `now` (s), and decode those that waited for them."""
        return self._decode(self._reorder.expire(now))

    def _decode(self, packets: Iterable[Packet]) -> Iterator[DecodedAudio]:
        for packet in packets:
            if packet.payload:
                self._clock = unwrap(packet.timestamp, self._clock)
                yield DecodedAudio(self._codec.decode(packet.payload), self._clock)
