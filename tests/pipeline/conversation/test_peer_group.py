"""Fan-out of events and speech to peers and observers."""

from pipeline.conversation.peer_group import PeerGroup
from pipeline.events import EndReason, Event, Pong, TurnUsageReport, Usage
from pipeline.media import SpeechFrame
from tests.support.conversation_harness import FakePeer

FRAME = SpeechFrame(1, b"\0\0", b"opus")


def test_everybody_is_told_and_played_while_they_are_there() -> None:
    group, stays, goes = PeerGroup(), FakePeer(), FakePeer()
    group.join(stays)
    group.join(goes)
    group.send_event(Pong(1))
    group.send_audio(FRAME)
    group.flush_audio()
    assert group.leave(goes)
    group.send_event(Pong(2))
    group.send_audio(FRAME)
    group.flush_audio()
    assert goes.log == [Pong(1), FRAME]
    assert stays.log == [Pong(1), FRAME, Pong(2), FRAME]
    assert (goes.flushed, stays.flushed) == (1, 2)
    assert len(group) == 1
    assert not group.leave(goes)


def test_an_observer_gets_the_events_that_peers_get_and_the_internal_ones() -> None:
    group, peer = PeerGroup(), FakePeer()
    seen: list[Event] = []
    group.join(peer)
    group.add_observer(seen.append)
    group.send_event(Pong(1))
    group.notify_observers(TurnUsageReport(1, Usage()))
    assert seen == [Pong(1), TurnUsageReport(1, Usage())]
    assert peer.log == [Pong(1)]


def test_who_is_disconnected_may_leave_at_once_and_is_sent_nothing_more() -> None:
    group = PeerGroup()

    class Hasty(FakePeer):
        def disconnect(self, reason: EndReason) -> None:
            super().disconnect(reason)
            assert not group.leave(self)

    peers = [Hasty(), Hasty()]
    for peer in peers:
        group.join(peer)
    group.disconnect(EndReason.LIMIT)
    group.send_event(Pong(1))
    assert [(peer.dismissed, peer.log) for peer in peers] == [(EndReason.LIMIT, [])] * 2
