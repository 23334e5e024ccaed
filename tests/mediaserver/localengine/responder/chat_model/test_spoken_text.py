import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.responder.chat_model.spoken_text import spoken_text


@pytest.mark.parametrize(
    ("sentence", "spoken"),
    [
        ("It is **blue**.", "It is blue."),
        ("***Very*** _blue_ ~~red~~", "Very blue red."),
        ("**Press Save.", "Press Save."),
        ("## The menu", "The menu."),
        ("- [x] Save it", "Save it."),
        ("* Save it", "Save it."),
        ("2. Save it", "2: Save it."),
        ("> Quoted", "Quoted."),
        ("| Name | Size |", "Name, Size."),
        ("| --- | :-: |", ""),
        ("---", ""),
        ("Open `my_file_name.py` now", "Open my_file_name.py now."),
        ("my_file_name and 3 * 4 * 5", "my_file_name and 3 * 4 * 5."),
        ("See [the manual](https://example.com/a?b).", "See the manual."),
        ("![A cat](cat.png)", "A cat."),
        ("Go to https://example.com/a/b.", "Go to example.com."),
        ("One<br>two", "Onetwo."),
        ("Done 🎉", "Done."),
        ("\u200bHi\ufe0f", "Hi."),
        ("```py\na = 1\nb = 2\n```", "Here I leave out 2 lines of code."),
        ("```\na\n```", "Here I leave out a line of code."),
        ("```\n```", ""),
        ("Is it?", "Is it?"),
        ('He said "no."', 'He said "no."'),
        ("**", ""),
        ("$x + 1$", "x + 1."),
        ("It costs $5 or $6", "It costs $5 or $6."),
    ],
)
def test_markdown_is_not_spoken(sentence: str, spoken: str) -> None:
    assert spoken_text(sentence) == spoken


@given(st.text(max_size=200))
def test_any_text_becomes_one_line_or_nothing(text: str) -> None:
    spoken = spoken_text(text)
    assert "\n" not in spoken
    assert "\0" not in spoken
    assert spoken == "" or len(spoken.strip()) > 0
