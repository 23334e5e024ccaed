"""The forwarding of other participants' tracks to one participant."""

from collections.abc import Callable, Mapping

from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.types import Outgoing
from mediaserver.livekit.room.room import Forward


class SubscriptionForwarder:
    """Forwards the subscribed tracks on a client's link. `link_of` returns a participant's link by sid."""

    def __init__(self, link: Link, link_of: Callable[[str], Link | None]):
        self._link = link
        self._link_of = link_of
        self._sent: dict[str, Forward] = {}

    def update(self, wanted: Mapping[str, Forward]) -> bool:
        """Forward these tracks and no others; True if there are new ones, which need a negotiation."""
        for track in [track for track, forward in self._sent.items() if wanted.get(track) != forward]:
            self._link.withdraw(track)
            del self._sent[track]
        has_new = False
        for track, forward in wanted.items():
            sent, source = self._sent.get(track), self._link_of(forward.publisher)
            if source is None:
                continue
            if sent is None:
                self._link.forward(Outgoing(track, f"{forward.publisher}|{track}", forward.kind), source, forward.mid)
                has_new = True
            if forward.is_muted != (sent is not None and sent.is_muted):
                self._link.pause(track, is_paused=forward.is_muted)
            self._sent[track] = forward
        return has_new

    def publisher(self, track: str) -> str | None:
        """Return the sid of the participant whose track is forwarded."""
        forward = self._sent.get(track)
        return forward.publisher if forward is not None else None
