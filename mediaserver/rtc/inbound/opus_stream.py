"""Opus packets of one RTP source: reordered, decoded, and losses concealed."""

from collections.abc import Iterable, Iterator

from mediaserver.rtc.inbound.decoded_audio import DecodedAudio, unwrap
from mediaserver.rtc.inbound.reorder_buffer import Packet, ReorderBuffer
from mediaserver.rtc.inbound.stereo_mixer import StereoMixer
from pipeline.codecs.libopus import MAX_SECONDS, Decoder, is_stereo
from pipeline.errors import AudioError
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES

_CLOCK = 48_000 // INPUT_SAMPLE_RATE  # RFC 7587 section 4.1: the RTP clock is 48 kHz
_MAX_CONCEALED = int(MAX_SECONDS * INPUT_SAMPLE_RATE)


class OpusStream:
    """Decodes the packets of one SSRC (RFC 3550 section 3); yields an error for each undecodable packet."""

    rate = INPUT_SAMPLE_RATE

    def __init__(self) -> None:
        self._reorder = ReorderBuffer()
        self._decoder = Decoder(rate=INPUT_SAMPLE_RATE)
        self._mixer: StereoMixer | None = None  # once a packet was stereo
        self._clock = 0  # RTP time of the last packet, unwrapped
        self._expected: int | None = None  # stamp of the sample that should come next
        self._has_loss = False

    @property
    def due(self) -> float | None:
        """The clock (s) at which `expire` must be called, or None."""
        return self._reorder.due

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> Iterator[DecodedAudio | AudioError]:
        """Decode a packet received at `now` (s)."""
        return self._decode_packet(self._reorder.push(sequence, timestamp, payload, now))

    def expire(self, now: float) -> Iterator[DecodedAudio | AudioError]:
        """Give up packets that are overdue at `now` (s), and decode those that waited for them."""
        return self._decode_packet(self._reorder.expire(now))

    def _decode_packet(self, packets: Iterable[Packet]) -> Iterator[DecodedAudio | AudioError]:
        for packet in packets:
            self._has_loss |= packet.lost > 0
            if not packet.payload:
                continue  # nothing but padding
            try:
                yield from self._decode(packet)
            except AudioError:
                yield AudioError("The microphone's audio cannot be decoded.", where="rtc")

    def _decode(self, packet: Packet) -> Iterator[DecodedAudio]:
        self._clock = unwrap(packet.timestamp, self._clock)
        stamp = self._clock // _CLOCK
        if self._mixer is None and is_stereo(packet.payload):
            self._mixer, self._decoder = StereoMixer(), Decoder(rate=INPUT_SAMPLE_RATE, channels=2)
        if self._has_loss and self._expected is not None and 0 < stamp - self._expected <= _MAX_CONCEALED:
            recovered = self._decoder.recover(packet.payload, stamp - self._expected)
            yield DecodedAudio(self._mix(recovered), self._expected)
        self._has_loss = False
        pcm = self._mix(self._decoder.decode(packet.payload))
        self._expected = stamp + len(pcm) // SAMPLE_BYTES
        yield DecodedAudio(pcm, stamp)

    def _mix(self, pcm: bytes) -> bytes:
        return pcm if self._mixer is None else self._mixer.mix(pcm)
