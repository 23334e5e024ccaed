"""The room as one participant's session sees it."""

from collections.abc import Coroutine, Iterable
from typing import Protocol

from livekit.protocol.models import DataPacket
from livekit.protocol.rtc import ICEServer

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.livekit.agent.transcript_log import TranscriptLog
from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import Room
from pipeline.peer import ConversationPort


class RoomContext(Protocol):
    """Services that a room offers its sessions; `RoomRuntime` implements it."""

    room: Room
    limits: RoomLimits
    bad_messages: BadMessageBudget

    def transcript_log(self, conversation: ConversationPort) -> TranscriptLog:
        """Return the transcript log of a conversation."""
        ...

    def link(self, sid: str) -> Link | None:
        """Return a participant's media link."""
        ...

    def mark_subscribed(self, publisher: str, track: str) -> None:
        """Report by sid that a participant's track has a receiver."""
        ...

    def reconcile(self) -> None:
        """Update every session after a change of publications or subscriptions."""
        ...

    def send_snapshot(self, sid: str) -> None:
        """Send a joining or resuming participant the speakers and connection qualities."""
        ...

    def ice_servers(self, user: str) -> list[ICEServer]:
        """Return the ICE servers for a user's clients."""
        ...

    def deliver(self, packet: DataPacket, to: Iterable[str], label: str) -> bool:
        """Send a packet to participants by sid; False if the send buffer of one of them is full."""
        ...

    def on_audio_level(self, sid: str, level: float) -> None:
        """Record a participant's audio level, from 0 to 1."""
        ...

    def on_muted(self, sid: str) -> None:
        """Record that a participant was muted."""
        ...

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the room."""
        ...

    def forget(self, sid: str) -> None:
        """Remove a session that has ended."""
        ...

    def refresh_token(self, participant: Participant) -> str | None:
        """Return a token with a participant's present rights and description; None after its absolute lifetime."""
        ...

    def is_revoked(self, grant: AccessTokenClaims) -> bool:
        """Whether the token, the login or the user that a grant came from is revoked."""
        ...

    async def user_exists(self, grant: AccessTokenClaims) -> bool:
        """Whether the user of a grant still has an account; True for the users of another server."""
        ...
