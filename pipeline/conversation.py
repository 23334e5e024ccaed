"""One conversation: owns the engine link, the turn counter, playout and history; peers come and go."""

from pipeline.errors import MediaError
from pipeline.events import Command
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import Peer


class Conversation:
    """Skeleton that names what transports may rely on."""

    def attach(self, peer: Peer) -> None:
        """Let a peer take part: it is told `SessionStarted` and the state at once."""

    def detach(self, peer: Peer) -> None:
        """Forget a peer; when the last has gone the grace period begins."""

    def hear(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio of any rate; never waits, drops the oldest when overrun."""

    def silence(self, peer: Peer) -> None:
        """Say that this peer's microphone has ended."""

    def watch(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame; only the newest is kept."""

    def unwatch(self, peer: Peer) -> None:
        """Say that this peer's screen share has ended."""

    def obey(self, peer: Peer, command: Command) -> None:
        """Take a client's command; commands are never dropped."""

    def blame(self, error: MediaError) -> None:
        """Report a fault that a transport met on this conversation's media, such as a decoder's."""
