from pipeline.gemini.retry_policy import EngineTimeouts, ReconnectBackoff

FULL = EngineTimeouts(max_failures=100)


def counting(timeouts: EngineTimeouts = FULL, jitter: float = 1.0) -> ReconnectBackoff:
    return ReconnectBackoff(timeouts, lambda: jitter, began=0.0)


def test_each_further_try_waits_longer_up_to_the_longest() -> None:
    setbacks = counting()
    assert [setbacks.delay(0.0, lasted=0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_the_wait_is_anything_up_to_the_longest() -> None:
    assert counting(jitter=0.1).delay(0.0, lasted=0.0) == 0.05


def test_a_session_that_lasted_forgives_what_was_before() -> None:
    setbacks = counting(EngineTimeouts(max_failures=3))
    setbacks.delay(0.0, lasted=0.0)
    setbacks.delay(1.0, lasted=0.5)
    setbacks.delay(2.0, lasted=0.5)
    assert setbacks.delay(20.0, lasted=10.0) == 0.5
    assert setbacks.delay(21.0, lasted=0.5) == 1.0


def test_as_many_sessions_that_break_as_allowed_within_a_minute_are_given_up() -> None:
    setbacks = counting(EngineTimeouts(max_failures=3))
    assert setbacks.delay(0.0, lasted=1.0) is not None
    assert setbacks.delay(10.0, lasted=9.0) is not None
    assert setbacks.delay(61.0, lasted=1.0) is not None
    assert setbacks.delay(62.0, lasted=1.0) is None


def test_attempts_that_fail_at_once_are_made_for_as_long_as_an_outage_may_last() -> None:
    for jitter in (0.05, 0.5, 1.0):
        setbacks, now = counting(EngineTimeouts(), jitter), 0.0
        while (delay := setbacks.delay(now, lasted=0.0)) is not None:
            now += delay
        assert now > 25.0 or jitter == 0.05


def test_an_outage_that_would_last_too_long_is_given_up() -> None:
    setbacks = counting()
    assert setbacks.delay(29.0, lasted=0.0) == 0.5
    assert setbacks.delay(29.5, lasted=0.0) is None


def test_a_planned_change_of_session_waits_for_nothing_unless_it_comes_at_once() -> None:
    setbacks = counting()
    assert setbacks.delay(600.0, lasted=600.0, is_planned=True) == 0.0
    assert setbacks.delay(600.1, lasted=0.1, is_planned=True) == 0.5


def test_sessions_that_must_be_left_every_few_seconds_are_no_failures() -> None:
    setbacks = counting(EngineTimeouts())
    assert [setbacks.delay(4.0 * n, lasted=3.9, is_planned=True) for n in range(1, 100)] == [0.0] * 99


def test_a_limit_that_is_reached_is_waited_for_slowly_and_then_given_up() -> None:
    setbacks = counting(EngineTimeouts(max_failures=3))
    assert setbacks.quota_delay(0.0, lasted=0.0) == 30.0
    assert setbacks.quota_delay(31.0, lasted=0.0) == 60.0
    assert setbacks.quota_delay(92.0, lasted=0.0) is None


def test_waiting_for_a_limit_to_pass_is_no_outage() -> None:
    setbacks = counting()
    setbacks.quota_delay(0.0, lasted=0.0)
    assert setbacks.delay(31.0, lasted=0.0) == 0.5


def test_a_session_that_lasted_forgives_limits_too() -> None:
    setbacks = counting()
    setbacks.quota_delay(0.0, lasted=0.0)
    assert setbacks.quota_delay(51.0, lasted=10.0) == 30.0
