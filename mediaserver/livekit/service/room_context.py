"""A room with all its sessions, as one of them sees it."""

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Protocol

from livekit.protocol.models import DataPacket
from livekit.protocol.rtc import ICEServer

from mediaserver.livekit.agent.transcript_log import TranscriptLog
from mediaserver.livekit.room.limits import Limits
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import Room
from pipeline.peer import ConversationPort

if TYPE_CHECKING:
    from mediaserver.livekit.service.participant_session import Session


class RoomContext(Protocol):
    """`LiveRoom` is all of it."""

    room: Room
    limits: Limits

    def transcript_log(self, host: ConversationPort) -> TranscriptLog:
        """What was said in a conversation."""
        ...

    def session(self, sid: str) -> "Session | None":
        """A participant's session."""
        ...

    def reconcile(self) -> None:
        """Who publishes what, or who wants what, has changed."""
        ...

    def catch_up(self, sid: str) -> None:
        """Tell a participant, who comes or comes back, what else is told only when it changes."""
        ...

    def ice_servers(self) -> list[ICEServer]:
        """What clients may use to reach us."""
        ...

    def deliver(self, packet: DataPacket, to: Iterable[str], label: str) -> bool:
        """Send a packet to participants by sid; False if it is more than one of them can take."""
        ...

    def on_audio_level(self, sid: str, level: float) -> None:
        """Somebody is that loud."""
        ...

    def on_muted(self, sid: str) -> None:
        """Somebody is muted."""
        ...

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do something that takes time."""
        ...

    def forget(self, session: "Session") -> None:
        """It is over."""
        ...

    def renew(self, participant: Participant) -> str:
        """A new token for a participant as it is now."""
        ...
