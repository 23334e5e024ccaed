"""The outgoing tracks of a client, and the media sections that carry them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from aiortc import RTCPeerConnection, RTCRtpTransceiver

from mediaserver.livekit.media.forwarded_track import ForwardedTrack
from mediaserver.livekit.media.types import MissingSections, Outgoing
from mediaserver.rtc.aiortc_patches.media import on_keyframe_wanted
from mediaserver.rtc.aiortc_patches.transceivers import codec_name, renew_sender, restrict_codecs, send_track
from mediaserver.rtc.voice_track import VoiceTrack

CODECS = {"audio": ("opus",), "video": ("vp8", "h264")}
"""Codecs by preference: every client can decode VP8, so each should send it."""

_IDLE = (None, "inactive")


@dataclass(slots=True)
class _Sent:
    outgoing: Outgoing
    track: VoiceTrack | ForwardedTrack
    section: RTCRtpTransceiver | None = None


class OutgoingTracks:
    """Assigns outgoing tracks to free media sections."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Sent] = {}
        self._leaving: list[RTCRtpTransceiver] = []
        self._left: set[RTCRtpTransceiver] = set()  # freed by the current negotiation

    def add(self, outgoing: Outgoing, track: VoiceTrack | ForwardedTrack) -> None:
        """Send a track from the next negotiation on. Raises ValueError for a name in use."""
        if outgoing.track in self._tracks:
            raise ValueError(f"The track {outgoing.track} is sent already.")
        self._tracks[outgoing.track] = _Sent(outgoing, track)

    def find(self, track: str) -> VoiceTrack | ForwardedTrack | None:
        """Return the track of that name."""
        sent = self._tracks.get(track)
        return None if sent is None else sent.track

    def withdraw(self, track: str) -> None:
        """Stop a track, and free its section at the next negotiation."""
        sent = self._tracks.pop(track, None)
        if sent is not None:
            sent.track.stop()
            if sent.section is not None:
                self._leaving.append(sent.section)

    async def release(self, lost: Iterable[RTCRtpTransceiver] = ()) -> None:
        """Free the sections of withdrawn tracks, and those that the client has dropped, before a negotiation."""
        gone = set(lost)
        for sent in self._tracks.values():
            if sent.section in gone:
                self._leaving.append(sent.section)
                sent.section = None
        self._left = set(self._leaving)
        self._leaving.clear()
        for section in self._left:
            await renew_sender(section)

    def place(self, sections: Iterable[RTCRtpTransceiver]) -> None:
        """Assign tracks without a section to the free ones among these."""
        taken = {sent.section for sent in self._tracks.values()} | self._left
        free = [section for section in sections if section not in taken and section.currentDirection in _IDLE]
        for sent in self._waiting:
            section = next((section for section in free if section.kind == sent.outgoing.kind), None)
            if section is not None:
                free.remove(section)
                self._send(sent, section)

    def reassign(self, connection: RTCPeerConnection) -> None:
        """Assign tracks without a section to new transceivers, which the next offer contains."""
        for sent in self._waiting:
            self._send(sent, connection.addTransceiver(sent.outgoing.kind, "sendonly"))

    def settle(self) -> None:
        """Choose the codecs to send, once those of all sections are negotiated."""
        for sent in self._tracks.values():
            if sent.section is not None and isinstance(sent.track, ForwardedTrack):
                restrict_codecs(sent.section, (sent.track.source_codec().lower(), *CODECS[sent.outgoing.kind]))
                sent.track.codec = codec_name(sent.section).upper()

    def is_sent_in(self, section: RTCRtpTransceiver) -> bool:
        """Whether a section carries an outgoing track."""
        return any(sent.section is section for sent in self._tracks.values())

    @property
    def mids(self) -> dict[str, str]:
        """The outgoing tracks by mid."""
        return {
            sent.section.mid: sent.outgoing.track
            for sent in self._tracks.values()
            if sent.section is not None and sent.section.mid is not None
        }

    def missing_sections(self, sections: Iterable[RTCRtpTransceiver]) -> MissingSections:
        """Count the sections that are missing beside these."""
        taken = {sent.section for sent in self._tracks.values()} | set(self._leaving)
        free = Counter(section.kind for section in sections if section not in taken)
        waiting = Counter(sent.outgoing.kind for sent in self._waiting)
        more = waiting - free
        return MissingSections(audios=more["audio"], videos=more["video"])

    def stop(self) -> None:
        """End all tracks."""
        for sent in self._tracks.values():
            sent.track.stop()

    @property
    def _waiting(self) -> list[_Sent]:
        return [sent for sent in self._tracks.values() if sent.section is None]

    def _send(self, sent: _Sent, section: RTCRtpTransceiver) -> None:
        sent.section = section
        send_track(section, sent.track, stream=sent.outgoing.stream, name=sent.outgoing.track)
        if isinstance(sent.track, ForwardedTrack):
            on_keyframe_wanted(section.sender, sent.track.request_keyframe)


def prefer(section: RTCRtpTransceiver) -> None:
    """Restrict a section to the supported codecs, in order of preference."""
    restrict_codecs(section, CODECS[section.kind])
