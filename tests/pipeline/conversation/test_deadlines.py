"""How long a conversation may last."""

from pipeline.conversation.deadlines import LAST_WORDS, SOON, Deadlines
from pipeline.events import EndReason


def lifetime() -> Deadlines:
    life = Deadlines(idle=60.0, longest=600.0, grace=30.0, now=100.0)
    life.on_peer_attached()
    return life


def test_nobody_ever_came() -> None:
    life = Deadlines(idle=60.0, longest=600.0, grace=30.0, now=100.0)
    assert life.expired_reason(129.9, is_speaking=False) is None
    assert life.expired_reason(130.0, is_speaking=False) is EndReason.CLIENT


def test_who_comes_back_in_time_goes_on() -> None:
    life = lifetime()
    life.on_peer_detached(110.0, grace=15.0)
    assert life.expired_reason(124.9, is_speaking=False) is None
    life.on_peer_attached()
    assert life.expired_reason(126.0, is_speaking=False) is None
    life.on_peer_detached(126.0, grace=5.0)
    assert life.expired_reason(131.0, is_speaking=False) is EndReason.CLIENT


def test_idle_is_counted_from_the_last_sign() -> None:
    life = lifetime()
    assert life.expired_reason(160.0, is_speaking=False) is EndReason.IDLE
    life.touch(150.0)
    assert life.expired_reason(160.0, is_speaking=False) is None
    assert life.expired_reason(210.0, is_speaking=False) is EndReason.IDLE


def test_the_longest_time_lets_a_reply_finish() -> None:
    life = lifetime()
    life.touch(690.0)
    assert life.expired_reason(700.0, is_speaking=False) is EndReason.LIMIT
    assert life.expired_reason(700.0, is_speaking=True) is None
    life.touch(700.0 + LAST_WORDS)
    assert life.expired_reason(700.0 + LAST_WORDS, is_speaking=True) is EndReason.LIMIT


def test_the_next_look_is_when_time_may_be_up() -> None:
    life = lifetime()
    assert life.seconds_to_deadline(100.0) == 60.0
    life.touch(650.0)
    assert life.seconds_to_deadline(660.0) == 40.0
    life.on_peer_detached(660.0, grace=15.0)
    assert life.seconds_to_deadline(660.0) == 15.0
    assert life.seconds_to_deadline(800.0) == SOON
