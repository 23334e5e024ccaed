"""An incoming track of a client, which is decoded on demand and forwarded to others."""

from aiortc import RTCRtpTransceiver

from mediaserver.livekit.media.forwarded_track import ForwardedTrack
from mediaserver.livekit.media.types import LinkEvents
from mediaserver.rtc.aiortc_patches.media import AudioTap, BandwidthEstimator
from mediaserver.rtc.aiortc_patches.transceivers import codec_name
from mediaserver.rtc.inbound.audio_track import InboundAudioTrack
from mediaserver.rtc.inbound.track_readers import Source
from mediaserver.rtc.inbound.video_track import InboundVideoTrack
from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame


class IncomingTrack:
    """Reads one media section from its negotiation on. The creator must run `source`."""

    def __init__(
        self, mid: str, section: RTCRtpTransceiver, *, lull: float, estimate: BandwidthEstimator, events: LinkEvents
    ):
        self.mid = mid
        self.section = section
        self.source: Source
        self._events = events
        self._followers: list[ForwardedTrack] = []
        self._is_wanted = False
        self._tap: AudioTap | None = None
        if section.kind == "audio":
            self.source = InboundAudioTrack(
                section.receiver, lull=lull, on_chunk=self._on_chunk, on_fault=self._on_fault
            )
            self._tap = AudioTap(section.receiver, on_packet=self._on_packet)
        else:
            self.source = InboundVideoTrack(
                mid,
                section.receiver,
                on_frame=self._on_frame,
                on_pause=self._on_pause,
                on_fault=self._on_fault,
                on_encoded=self._on_encoded,
                estimate=estimate,
            )
        self.apply()

    @property
    def codec(self) -> str:
        """The negotiated codec, such as VP8."""
        return codec_name(self.section).upper()

    def listen(self, is_wanted: bool) -> None:
        """Decode and report the media, or stop."""
        self._is_wanted = is_wanted
        self.apply()

    def follow(self, track: ForwardedTrack) -> None:
        """Forward the encoded media to a track."""
        self._followers.append(track)
        self.apply()

    def unfollow(self, track: ForwardedTrack) -> None:
        """Stop forwarding to a track."""
        if track in self._followers:
            self._followers.remove(track)
            self.apply()

    def apply(self) -> None:
        """Enable only what is needed. Call it after each negotiation, as aiortc enables all receivers."""
        match self.source:
            case InboundAudioTrack():
                assert self._tap is not None
                self._tap.is_decoded = self._is_wanted
            case InboundVideoTrack() as video:
                video.show(self._is_wanted)
                video.forward(bool(self._followers))

    def _on_chunk(self, chunk: AudioChunk) -> None:
        if self._is_wanted:
            self._events.on_audio(self.mid, chunk)

    def _on_frame(self, frame: ScreenFrame) -> None:
        self._events.on_frame(self.mid, frame)

    def _on_pause(self) -> None:
        self._events.on_pause(self.mid)

    def _on_fault(self, error: MediaError) -> None:
        self._events.on_fault(self.mid, error)

    def _on_packet(self, payload: bytes, stamp: int) -> None:
        self._on_encoded("OPUS", payload, stamp)

    def _on_encoded(self, codec: str, data: bytes, stamp: int) -> None:
        for track in self._followers:
            track.push(codec.upper(), data, stamp)
