"""Everybody who takes part in a conversation, or only looks on."""

from pipeline.events import EndReason, Event
from pipeline.media import SpeechFrame
from pipeline.peer import Observer, Peer


class PeerGroup:
    """Peers, who are told every event and played the assistant's voice, and witnesses, who see what peers do not."""

    def __init__(self) -> None:
        self._peers: dict[Peer, None] = {}  # a set that keeps its order
        self._witnesses: list[Observer] = []

    def __len__(self) -> int:
        return len(self._peers)

    def join(self, peer: Peer) -> None:
        """Tell and play this peer everything from now on."""
        self._peers[peer] = None

    def leave(self, peer: Peer) -> bool:
        """Tell this peer nothing more; whether it was here."""
        if peer not in self._peers:
            return False
        del self._peers[peer]
        return True

    def add_observer(self, witness: Observer) -> None:
        """Let `witness` see every event from now on."""
        self._witnesses.append(witness)

    def send_event(self, event: Event) -> None:
        """Tell everybody."""
        self.notify_observers(event)
        for peer in self._peers:
            peer.send_event(event)

    def notify_observers(self, event: Event) -> None:
        """Tell the witnesses alone what concerns no peer."""
        for witness in self._witnesses:
            witness(event)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech that is due now."""
        for peer in self._peers:
            peer.send_audio(frame)

    def flush_audio(self) -> None:
        """Drop speech that is not on the wire yet."""
        for peer in self._peers:
            peer.flush_audio()

    def disconnect(self, reason: EndReason) -> None:
        """Let every peer go, politely."""
        peers, self._peers = self._peers, {}
        for peer in peers:
            peer.disconnect(reason)
