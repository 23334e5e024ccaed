import pytest

from bench.word_errors import word_errors


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("go forward ten meters", "Go forward 10 meters.", 0),
        ("and mister john", "And Mr. John", 0),
        ("not an ill disposed young man", "Not an ill-disposed young man", 0),
        ("where is the save button", "Where is save button?", 1),
        ("stop", "", 1),
        ("stop", "please stop now", 2),
        ("find the cart", "find a card", 2),
    ],
)
def test_changed_missing_and_added_words_count(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard) == errors
