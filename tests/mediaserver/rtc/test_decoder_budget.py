"""Videos of one network share a budget of pixels."""

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.rtc.decoder_budget import DecoderBudget


def test_a_network_has_its_own_budget() -> None:
    budget = DecoderBudget(100)
    assert budget.claim("a", "one", 60)
    assert not budget.claim("a", "two", 60)
    assert budget.claim("b", "three", 60)


def test_a_video_counts_with_its_newest_size() -> None:
    budget = DecoderBudget(100)
    assert budget.claim("a", "one", 90)
    assert budget.claim("a", "one", 40)
    assert budget.claim("a", "two", 60)
    assert not budget.claim("a", "one", 41)


def test_a_video_that_is_refused_counts_no_more() -> None:
    budget = DecoderBudget(100)
    assert budget.claim("a", "one", 50)
    assert not budget.claim("a", "one", 101)
    assert budget.claim("a", "two", 100)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.integers(-1, 60))))
def test_the_sum_is_never_exceeded_and_nothing_is_left(steps: list[tuple[str, str, int]]) -> None:
    budget, counted = DecoderBudget(100), dict[tuple[str, str], int]()
    for network, video, pixels in steps:
        counted.pop((network, video), None)
        if pixels < 0:
            budget.release(network, video)
        elif budget.claim(network, video, pixels):
            counted[network, video] = pixels
        for name in "ab":
            assert sum(size for (where, _), size in counted.items() if where == name) <= 100
    for network in "ab":
        for video in "123":
            budget.release(network, video)
    assert not budget._networks
