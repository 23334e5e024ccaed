"""The text of the played part of a reply."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.playout.spoken_text import SpokenText


def timed(*words: str) -> SpokenText:
    said = SpokenText(1, timed=True)
    for word in words:
        said.add_text(word)
        said.add_samples(100)
    return said


def test_a_timed_word_counts_once_its_first_sample_was_heard() -> None:
    said = timed("I ", "can ", "see ")
    assert [said.text_until(samples) for samples in (0, 1, 100, 101, 201, 300)] == [
        "",
        "I",
        "I",
        "I can",
        "I can see",
        "I can see",
    ]


def test_untimed_words_count_in_proportion_to_the_samples() -> None:
    said = SpokenText(1, timed=False)
    said.add_text("one two three four")
    said.add_samples(1000)
    assert said.text_until(0) == ""
    assert said.text_until(500) == "one two"
    assert said.text_until(1000) == "one two three four"


def test_text_without_any_voice_was_not_heard() -> None:
    said = SpokenText(1, timed=False)
    said.add_text("nobody spoke this")
    assert said.text_until(0) == ""


@given(
    st.booleans(),
    st.lists(st.tuples(st.text("ab ", max_size=6), st.integers(0, 500)), max_size=8),
    st.integers(0, 4000),
)
def test_what_was_heard_is_the_beginning_of_what_was_said(
    is_timed: bool, pieces: list[tuple[str, int]], samples: int
) -> None:
    said = SpokenText(1, timed=is_timed)
    for text, count in pieces:
        said.add_text(text)
        said.add_samples(count)
    assert said.text.strip().startswith(said.text_until(samples)) or said.text_until(samples) in said.text
    assert len(said.text_until(samples)) <= len(said.text_until(samples + 1))
