import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.responder.chat_model.sentences import MAX_SENTENCE, SentenceSplitter


def split(text: str, *, size: int = 1) -> list[str]:
    splitter = SentenceSplitter()
    found = [sentence for start in range(0, len(text), size) for sentence in splitter.push(text[start : start + size])]
    return [*found, *splitter.flush()]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("Press **Save.** It is blue.", ["Press **Save.**", "It is blue."]),
        ("See e.g. the menu. Ask Dr. Smith or J. Doe.", ["See e.g. the menu.", "Ask Dr. Smith or J. Doe."]),
        ("It costs 3.50 dollars. See no. 5 or fig. 2.", ["It costs 3.50 dollars.", "See no. 5 or fig. 2."]),
        ("The answer is no. Try again.", ["The answer is no.", "Try again."]),
        ("Open a.txt on example.com. Done.", ["Open a.txt on example.com.", "Done."]),
        ("Wait... what? Really?!", ["Wait... what?", "Really?!"]),
        ("Call `a. B` now. Good.", ["Call `a. B` now.", "Good."]),
        ("1. Click Save\n2. Close it\n\nDone", ["1. Click Save", "2. Close it", "Done"]),
        ("1. Click Save. Then wait.", ["1. Click Save.", "Then wait."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("Use this:\n```py\na = 1. B\n\n```\nDone.", ["Use this:", "```py\na = 1. B\n\n```", "Done."]),
        ("```\nopen. End", ["```\nopen. End\n```"]),
        ("", []),
        (" \n \n", []),
    ],
)
def test_text_is_split_where_its_sentences_end(text: str, sentences: list[str]) -> None:
    assert [split(text, size=size) for size in (1, 3, 1_000)] == [sentences] * 3


def test_a_sentence_is_given_as_soon_as_the_next_one_begins() -> None:
    splitter = SentenceSplitter()
    assert list(splitter.push("It is blue. ")) == []
    assert list(splitter.push("A")) == ["It is blue."]
    assert list(splitter.push("nd red\n")) == ["And red"]


def test_a_sentence_without_an_end_is_split_at_a_comma_or_between_words() -> None:
    assert all(len(part) <= MAX_SENTENCE for part in split("word " * 200))
    assert split("a" * 100 + ", " + "b " * 100)[0] == "a" * 100 + ","
    assert "".join(split("x" * 1_000)) == "x" * 1_000


@given(st.text(alphabet="aB1.!? \n`,*-。", max_size=200), st.integers(1, 9))
def test_nothing_is_lost_however_it_arrives(text: str, size: int) -> None:
    def letters(parts: list[str]) -> str:
        return "".join("".join(parts).split())

    assert letters(split(text, size=size)).startswith(letters([text]))
