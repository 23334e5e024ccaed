"""The first lines of a kind are written, the rest are counted."""

from collections import namedtuple
from typing import Any

from mediaserver.log_flood import ERRORS, LINES, FloodCounter, Summary

Level = namedtuple("Level", "name no")
Caught = namedtuple("Caught", "type value traceback")


def record(level: str = "INFO", *, line: int = 1, error: BaseException | None = None, **extra: object) -> Any:
    return {
        "level": Level(level, {"INFO": 20, "ERROR": 40}[level]),
        "name": "mediaserver.api.middleware",
        "line": line,
        "message": "http",
        "extra": extra,
        "exception": None if error is None else Caught(type(error), error, error.__traceback__),
    }


def written(counter: FloodCounter, count: int, **extra: Any) -> int:
    """Count lines at time 0, each from another address unless one is given; return how many are written."""
    return sum(counter.admit(record(**{"address": f"192.0.2.{n}"} | extra), 0.0) for n in range(count))


def told(counter: FloodCounter, now: float) -> list[tuple[str, int, float]]:
    return [(each.message, each.count, each.seconds) for each in counter.summaries(now)]


def test_one_address_is_written_up_to_its_limit_and_the_rest_is_summed_up_when_the_window_is_over() -> None:
    counter = FloodCounter()
    assert written(counter, 4_153, address="192.0.2.1") == LINES.per_address == 50
    assert counter.next_summary() == LINES.seconds
    assert told(counter, LINES.seconds - 0.1) == []
    assert told(counter, LINES.seconds) == [("http", 4_103, 10.0)]
    assert told(counter, LINES.seconds) == []
    assert counter.next_summary() is None


def test_another_address_is_still_written() -> None:
    counter = FloodCounter()
    written(counter, 1_000, address="192.0.2.1")
    assert counter.admit(record(address="192.0.2.2"), 1.0)


def test_many_addresses_together_have_a_limit_too() -> None:
    assert written(FloodCounter(), 3 * LINES.lines) == LINES.lines


def test_kinds_are_told_apart_by_place_level_status_and_error_but_not_by_what_a_client_sends() -> None:
    counter = FloodCounter()
    written(counter, 1_000, address="a", status=404, path="/1")
    assert not counter.admit(record(address="a", status=404, path="/2"), 1.0)
    assert counter.admit(record(address="a", status=403, path="/1"), 1.0)
    assert counter.admit(record(line=2, address="a", status=404), 1.0)
    assert counter.admit(record("ERROR", address="a", status=404), 1.0)


def test_a_new_error_is_written_in_a_flood_of_another_from_the_same_place() -> None:
    def raised(kind: type[Exception]) -> Exception:
        try:
            raise kind("text that a client chose")
        except Exception as error:
            return error

    counter = FloodCounter()
    for _ in range(1_000):
        counter.admit(record("ERROR", error=raised(ValueError)), 0.0)
    assert not counter.admit(record("ERROR", error=raised(ValueError)), 1.0)
    assert counter.admit(record("ERROR", error=raised(TypeError)), 1.0)


def test_lines_that_were_left_out_before_the_window_was_renewed_are_still_told() -> None:
    counter = FloodCounter()
    written(counter, 60, address="a")
    assert counter.admit(record(address="a"), LINES.seconds)  # before anybody asked
    assert told(counter, LINES.seconds) == [("http", 10, LINES.seconds)]


def test_a_summary_has_the_message_of_the_first_line_left_out() -> None:
    counter = FloodCounter()
    written(counter, 51, address="a", status=404)
    (summary,) = counter.summaries(LINES.seconds)
    assert isinstance(summary, Summary)
    assert (summary.kind.status, summary.kind.module, summary.kind.line) == (404, "mediaserver.api.middleware", 1)


def test_an_error_that_many_addresses_repeat_for_a_day_takes_few_lines() -> None:
    counter = FloodCounter()
    day = sum(
        counter.admit(record("ERROR", address=f"192.0.2.{second % 200}"), float(second))
        for second in range(24 * 3_600)
        for _ in range(2)
    )
    assert day == 24 * ERRORS.lines == 480
