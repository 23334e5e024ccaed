"""A connected client over any transport, as its conversation sees it."""

from typing import Protocol

from pipeline.events import EndReason, Event
from pipeline.media import SpeechFrame


class Peer(Protocol):
    """Nothing here waits, and nothing here raises: a peer that cannot keep up is the transport's to close."""

    def send_event(self, event: Event) -> None:
        """Queue an event for the client; events are never dropped and keep their order."""
        ...

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech that is due now."""
        ...

    def flush_audio(self) -> None:
        """Drop speech that was given to `play` and is not on the wire yet."""
        ...

    def disconnect(self, reason: EndReason) -> None:
        """Close politely, after what was told has been sent."""
        ...
