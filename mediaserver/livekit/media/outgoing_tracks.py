"""What a client is sent: every track, and the section of its connection that each goes out in."""

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
"""In the order in which they are wanted: all of a room can show VP8, so all should send it."""

_IDLE = (None, "inactive")


@dataclass(slots=True)
class _Sent:
    outgoing: Outgoing
    track: VoiceTrack | ForwardedTrack
    section: RTCRtpTransceiver | None = None


class OutgoingTracks:
    """Tracks that are to be sent, placed into sections as far as there are any."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Sent] = {}
        self._leaving: list[RTCRtpTransceiver] = []
        self._left: set[RTCRtpTransceiver] = set()  # in the negotiation that goes on, which frees them

    def add(self, outgoing: Outgoing, track: VoiceTrack | ForwardedTrack) -> None:
        """Send a track from the next negotiation on. Raises ValueError if there is one of that name."""
        if outgoing.track in self._tracks:
            raise ValueError(f"The track {outgoing.track} is sent already.")
        self._tracks[outgoing.track] = _Sent(outgoing, track)

    def find(self, track: str) -> VoiceTrack | ForwardedTrack | None:
        """The track of that name."""
        sent = self._tracks.get(track)
        return None if sent is None else sent.track

    def withdraw(self, track: str) -> None:
        """Send nothing of a track any more, and leave its section at the next negotiation."""
        sent = self._tracks.pop(track, None)
        if sent is not None:
            sent.track.stop()
            if sent.section is not None:
                self._leaving.append(sent.section)

    async def release(self, lost: Iterable[RTCRtpTransceiver] = ()) -> None:
        """Before a negotiation: leave the sections of what is withdrawn, and those that the client takes away."""
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
        """Put what has no section into these, as far as they are free."""
        taken = {sent.section for sent in self._tracks.values()} | self._left
        free = [section for section in sections if section not in taken and section.currentDirection in _IDLE]
        for sent in self._waiting:
            section = next((section for section in free if section.kind == sent.outgoing.kind), None)
            if section is not None:
                free.remove(section)
                self._send(sent, section)

    def reassign(self, connection: RTCPeerConnection) -> None:
        """Put what has no section into sections of its own, which are offered next."""
        for sent in self._waiting:
            self._send(sent, connection.addTransceiver(sent.outgoing.kind, "sendonly"))

    def settle(self) -> None:
        """After the codecs of all sections are known: agree on what to send."""
        for sent in self._tracks.values():
            if sent.section is not None and isinstance(sent.track, ForwardedTrack):
                restrict_codecs(sent.section, (sent.track.source_codec().lower(), *CODECS[sent.outgoing.kind]))
                sent.track.codec = codec_name(sent.section).upper()

    def is_sent_in(self, section: RTCRtpTransceiver) -> bool:
        """Whether a section sends anything."""
        return any(sent.section is section for sent in self._tracks.values())

    @property
    def mids(self) -> dict[str, str]:
        """Which track goes out in which section, by mid."""
        return {
            sent.section.mid: sent.outgoing.track
            for sent in self._tracks.values()
            if sent.section is not None and sent.section.mid is not None
        }

    def missing_sections(self, sections: Iterable[RTCRtpTransceiver]) -> MissingSections:
        """How many sections there should be more than these."""
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
    """Answer with the codecs that are understood, those that all of a room understand first."""
    restrict_codecs(section, CODECS[section.kind])
