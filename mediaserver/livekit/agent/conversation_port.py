"""What this transport asks of a conversation and of the way into one."""

from collections.abc import Callable
from typing import Protocol

from mediaserver.session_factory import SessionOptions
from pipeline.audio.turn_detector import TurnSettings
from pipeline.conversation.config import ConversationConfig
from pipeline.errors import MediaError
from pipeline.events import Command, EndReason, Event
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import Peer


class Host(Protocol):
    """A conversation. Nothing here waits, and nothing here raises."""

    terms: ConversationConfig

    @property
    def is_ending(self) -> bool:
        """Whether it is over for whoever would join now."""
        ...

    def attach(self, peer: Peer, *, name: str) -> None:
        """Let a peer take part, whom the assistant knows by name."""
        ...

    def detach(self, peer: Peer, *, grace: float) -> None:
        """Forget a peer, and wait `grace` seconds for one to come back; may be said twice."""
        ...

    def add_observer(self, witness: Callable[[Event], None]) -> None:
        """Let somebody see every event from now on."""
        ...

    def speaker(self, turn: int) -> Peer | None:
        """Whose voice asks in this turn."""
        ...

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        """Judge a peer's microphone by other settings."""
        ...

    def push_audio(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio."""
        ...

    def end_audio(self, peer: Peer) -> None:
        """Say that the microphone has ended."""
        ...

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame."""
        ...

    def stop_screen_share(self, peer: Peer) -> None:
        """Say that the screen share has ended, or pauses."""
        ...

    def submit(self, peer: Peer, command: Command) -> None:
        """Take a client's command."""
        ...

    def report_error(self, error: MediaError) -> None:
        """Report a fault of the media."""
        ...

    def end(self, reason: EndReason) -> None:
        """Close it politely."""
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
