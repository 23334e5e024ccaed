"""The heard share of a reply."""

from bench.playback_gaps import Arrival, Continuity, continuity


def steady(count: int, *, loud: bool = True) -> list[Arrival]:
    return [Arrival(slot, 10 + slot * 0.02, loud) for slot in range(count)]


def rounded(found: Continuity) -> tuple[int, int, int]:
    return found.due, found.heard, round(found.largest_gap * 1_000)


def test_a_steady_reply_is_heard_whole() -> None:
    assert rounded(continuity(steady(100), expected=100)) == (100, 100, 0)


def test_silence_before_and_after_a_reply_is_no_gap() -> None:
    arrivals = [*steady(3, loud=False), *(Arrival(slot, 10 + slot * 0.02, 3 <= slot < 8) for slot in range(3, 12))]
    assert rounded(continuity(arrivals, expected=None)) == (5, 5, 0)


def test_lost_frames_are_a_gap() -> None:
    arrivals = [arrival for arrival in steady(100) if arrival.slot not in (10, 11, 40)]
    assert rounded(continuity(arrivals, expected=100)) == (100, 97, 40)


def test_silence_inside_a_reply_is_a_gap() -> None:
    arrivals = [Arrival(arrival.slot, arrival.at, arrival.slot not in (5, 6, 7)) for arrival in steady(20)]
    assert rounded(continuity(arrivals, expected=20)) == (20, 17, 60)


def test_a_frame_may_be_late_by_the_buffer_and_no_more() -> None:
    arrivals = [*steady(10), Arrival(10, 10 + 0.2 + 0.059, True), Arrival(11, 10 + 0.22 + 0.061, True)]
    assert rounded(continuity(arrivals, expected=12)) == (12, 11, 20)


def test_a_reply_that_stops_early_is_missed_to_its_expected_end() -> None:
    assert rounded(continuity(steady(60), expected=100)) == (100, 60, 800)
    assert rounded(continuity(steady(60), expected=None)) == (60, 60, 0)


def test_a_reply_that_never_sounds_is_one_gap() -> None:
    assert rounded(continuity(steady(5, loud=False), expected=100)) == (100, 0, 2_000)


def test_a_frame_that_comes_twice_counts_when_it_first_came() -> None:
    arrivals = [*steady(3), Arrival(1, 11.0, True)]
    assert rounded(continuity(arrivals, expected=None)) == (3, 3, 0)
