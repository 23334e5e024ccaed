"""What this transport asks of a conversation and of the way into one."""

from typing import Protocol

from mediaserver.session_factory import SessionOptions
from pipeline.conversation.config import ConversationConfig
from pipeline.errors import MediaError
from pipeline.events import Command
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import Peer


class Host(Protocol):
    """A conversation. Nothing here waits, and nothing here raises."""

    terms: ConversationConfig

    def attach(self, peer: Peer) -> None:
        """Let a peer take part."""
        ...

    def detach(self, peer: Peer, *, grace: float) -> None:
        """Forget a peer, and wait `grace` seconds for one to come back; may be said twice."""
        ...

    def push_audio(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio."""
        ...

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame."""
        ...

    def submit(self, peer: Peer, command: Command) -> None:
        """Take a client's command."""
        ...

    def report_error(self, error: MediaError) -> None:
        """Report a fault of the media."""
        ...


class Lobby(Protocol):
    """The way into a conversation."""

    async def get_or_create(self, owner: str, wishes: SessionOptions) -> Host:
        """The owner's live one of that label, else a new one; raises `registry.Full` or `registry.Draining`."""
        ...


class Limiter(Protocol):
    """How often one name may ask."""

    def admit(self, name: str) -> None:
        """Count a request, or raise `HttpError` 429."""
        ...
