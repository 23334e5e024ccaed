"""What a peer asks of the conversation it takes part in; `pipeline.conversation.Conversation` has it all."""

from typing import Protocol

from pipeline.errors import MediaError
from pipeline.events import Command
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import Peer


class ConversationPort(Protocol):
    """Nothing here waits, and nothing here raises."""

    def attach(self, peer: Peer) -> None:
        """Let a peer take part."""
        ...

    def detach(self, peer: Peer, *, grace: float) -> None:
        """Forget a peer, who may come back within `grace` seconds; may be said twice."""
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
