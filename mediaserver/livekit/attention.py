"""Which of a participant's tracks the assistant hears and sees: one voice, one screen, the newest of each."""

from collections.abc import Mapping

from livekit.protocol.models import TrackSource

from mediaserver.livekit.participants import Participant
from mediaserver.livekit.publications import Track


def find_voice(participant: Participant) -> Track | None:
    """The microphone."""
    voices = (TrackSource.MICROPHONE, TrackSource.UNKNOWN)
    return next((track for track in _readable(participant, "audio") if track.info.source in voices), None)


def find_screen(participant: Participant, names: Mapping[str, str]) -> Track | None:
    """The screen: what the client has named so, by section or by track, else what was published as one."""
    shown = [track for track in _readable(participant, "video") if not track.info.muted]
    named = {track.sid: names.get(track.sid) or names.get(track.mid or "") for track in shown}
    for track in shown:
        if named[track.sid] == "screen":
            return track
    for source in (TrackSource.SCREEN_SHARE, TrackSource.UNKNOWN):
        for track in shown:
            if track.info.source == source and named[track.sid] is None:
                return track
    return None


def _readable(participant: Participant, kind: str) -> list[Track]:
    tracks = participant.publications.tracks.values()
    return [track for track in tracks if track.kind == kind and track.mid is not None and not track.is_encrypted][::-1]
