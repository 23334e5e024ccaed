"""The seam between a conversation and its transports: `Peer` is called downwards, `ConversationPort` upwards."""

from collections.abc import Callable
from typing import Protocol

from pipeline.config import ConversationConfig, TurnSettings
from pipeline.errors import MediaError
from pipeline.events import Command, EndReason, Event
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame

Observer = Callable[[Event], None]
"""Receives every event of a conversation, for history and metrics; returns at once and never raises."""


class Peer(Protocol):
    """A client connected over any transport.

    No method waits or raises: the transport closes a client that cannot keep up.
    """

    def send_event(self, event: Event) -> None:
        """Queue an event for the client; events are never dropped and keep their order."""
        ...

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech that is due now."""
        ...

    def flush_audio(self) -> None:
        """Drop speech that was given to `send_audio` and has not been sent yet."""
        ...

    def disconnect(self, reason: EndReason) -> None:
        """Close the connection once all queued events are sent."""
        ...


class ConversationPort(Protocol):
    """A conversation as the transports use it. No method waits or raises."""

    @property
    def config(self) -> ConversationConfig:
        """The settings the conversation was started with."""
        ...

    @property
    def is_ending(self) -> bool:
        """Whether the conversation no longer accepts peers."""
        ...

    @property
    def is_used(self) -> bool:
        """Whether a client has sent media, text or an action."""
        ...

    def attach(self, peer: Peer, *, name: str = "") -> None:
        """Add a peer. The engine is given the names when several peers have one."""
        ...

    def detach(self, peer: Peer, *, grace: float) -> None:
        """Remove a peer, and keep an empty conversation for `grace` seconds; may be called twice."""
        ...

    def add_observer(self, observer: Observer) -> None:
        """Pass every event from now on to `observer`."""
        ...

    def speaker(self, turn: int) -> Peer | None:
        """Return the peer whose voice began this turn; None for a typed question or an old turn."""
        ...

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        """Replace the turn detection settings of a peer's microphone."""
        ...

    def push_audio(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio."""
        ...

    def end_audio(self, peer: Peer) -> None:
        """Complete the open utterance: the microphone has ended."""
        ...

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame."""
        ...

    def stop_screen_share(self, peer: Peer) -> None:
        """End or pause the screen share of this peer."""
        ...

    def submit(self, peer: Peer, command: Command) -> None:
        """Queue a client's command."""
        ...

    def report_error(self, error: MediaError) -> None:
        """Report an error that the transport met in this conversation's media."""
        ...

    def end(self, reason: EndReason) -> None:
        """End the conversation and disconnect its peers."""
        ...
