"""How long a conversation may last."""

from pipeline.conversation.deadlines import LAST_WORDS, SOON, Lifetime
from pipeline.events import EndReason


def lifetime() -> Lifetime:
    life = Lifetime(idle=60.0, longest=600.0, grace=30.0, now=100.0)
    life.join()
    return life


def test_nobody_ever_came() -> None:
    life = Lifetime(idle=60.0, longest=600.0, grace=30.0, now=100.0)
    assert life.is_up(129.9, is_speaking=False) is None
    assert life.is_up(130.0, is_speaking=False) is EndReason.CLIENT


def test_who_comes_back_in_time_goes_on() -> None:
    life = lifetime()
    life.leave(110.0, grace=15.0)
    assert life.is_up(124.9, is_speaking=False) is None
    life.join()
    assert life.is_up(126.0, is_speaking=False) is None
    life.leave(126.0, grace=5.0)
    assert life.is_up(131.0, is_speaking=False) is EndReason.CLIENT


def test_idle_is_counted_from_the_last_sign() -> None:
    life = lifetime()
    assert life.is_up(160.0, is_speaking=False) is EndReason.IDLE
    life.touch(150.0)
    assert life.is_up(160.0, is_speaking=False) is None
    assert life.is_up(210.0, is_speaking=False) is EndReason.IDLE


def test_the_longest_time_lets_a_reply_finish() -> None:
    life = lifetime()
    life.touch(690.0)
    assert life.is_up(700.0, is_speaking=False) is EndReason.LIMIT
    assert life.is_up(700.0, is_speaking=True) is None
    life.touch(700.0 + LAST_WORDS)
    assert life.is_up(700.0 + LAST_WORDS, is_speaking=True) is EndReason.LIMIT


def test_the_next_look_is_when_time_may_be_up() -> None:
    life = lifetime()
    assert life.next_look(100.0) == 60.0
    life.touch(650.0)
    assert life.next_look(660.0) == 40.0
    life.leave(660.0, grace=15.0)
    assert life.next_look(660.0) == 15.0
    assert life.next_look(800.0) == SOON
