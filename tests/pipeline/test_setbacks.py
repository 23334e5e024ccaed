from pipeline.setbacks import Patience, Setbacks

FULL = Patience(failures=100)


def counting(patience: Patience = FULL, jitter: float = 1.0) -> Setbacks:
    return Setbacks(patience, lambda: jitter, began=0.0)


def test_each_further_try_waits_longer_up_to_the_longest() -> None:
    setbacks = counting()
    assert [setbacks.delay(0.0, lasted=0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_the_wait_is_anything_up_to_the_longest() -> None:
    assert counting(jitter=0.1).delay(0.0, lasted=0.0) == 0.05


def test_a_session_that_lasted_forgives_what_was_before() -> None:
    setbacks = counting(Patience(failures=3))
    setbacks.delay(0.0, lasted=0.0)
    setbacks.delay(1.0, lasted=0.5)
    assert setbacks.delay(20.0, lasted=10.0) == 0.5
    assert setbacks.delay(21.0, lasted=0.0) == 1.0


def test_as_many_failures_as_allowed_within_a_minute_are_given_up() -> None:
    setbacks = counting(Patience(budget=1000.0, failures=3))
    assert setbacks.delay(0.0, lasted=0.0) is not None
    assert setbacks.delay(10.0, lasted=9.0) is not None
    assert setbacks.delay(61.0, lasted=0.0) is not None
    assert setbacks.delay(62.0, lasted=0.0) is None


def test_an_outage_that_would_last_too_long_is_given_up() -> None:
    setbacks = counting()
    assert setbacks.delay(29.0, lasted=0.0) == 0.5
    assert setbacks.delay(29.5, lasted=0.0) is None


def test_a_planned_change_of_session_waits_for_nothing_unless_it_comes_at_once() -> None:
    setbacks = counting()
    assert setbacks.delay(600.0, lasted=600.0, is_planned=True) == 0.0
    assert setbacks.delay(600.1, lasted=0.1, is_planned=True) == 0.5
