"""Fan-out of events and speech to the peers and observers of a conversation."""

from pipeline.events import EndReason, Event
from pipeline.media import SpeechFrame
from pipeline.peer import Observer, Peer


class PeerGroup:
    """Peers receive every event and the assistant's speech; observers also receive events not sent to peers."""

    def __init__(self) -> None:
        self._peers: dict[Peer, None] = {}  # a set that keeps its order
        self._observers: list[Observer] = []

    def __len__(self) -> int:
        return len(self._peers)

    def join(self, peer: Peer) -> None:
        """Add a peer."""
        self._peers[peer] = None

    def leave(self, peer: Peer) -> bool:
        """Remove a peer; whether it was in the group."""
        if peer not in self._peers:
            return False
        del self._peers[peer]
        return True

    def add_observer(self, observer: Observer) -> None:
        """Pass every event from now on to `observer`."""
        self._observers.append(observer)

    def send_event(self, event: Event) -> None:
        """Send an event to all peers and observers."""
        self.notify_observers(event)
        for peer in self._peers:
            peer.send_event(event)

    def notify_observers(self, event: Event) -> None:
        """Pass an event to the observers only."""
        for observer in self._observers:
            observer(event)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech that is due now."""
        for peer in self._peers:
            peer.send_audio(frame)

    def flush_audio(self) -> None:
        """Drop speech that has not been sent yet."""
        for peer in self._peers:
            peer.flush_audio()

    def disconnect(self, reason: EndReason) -> None:
        """Remove all peers, and disconnect each once its queued events are sent."""
        peers, self._peers = self._peers, {}
        for peer in peers:
            peer.disconnect(reason)
