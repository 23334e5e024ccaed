import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.responder.screen_text import LONGEST_QUOTE, SURE, find, near, place, quoted
from pipeline.screen.read_text import ReadText

Box = tuple[int, int, int, int]


def line(text: str, box: Box = (100, 100, 120, 200), confidence: float = 0.98) -> ReadText:
    return ReadText(text, box, confidence)


MAIL = (
    line("Inbox", (20, 20, 70, 140)),
    line("File Edit View Help", (80, 0, 100, 400)),
    line("Save", (940, 900, 970, 960)),
    line("Save as draft", (940, 780, 970, 880)),
    line("Cancel", (940, 700, 970, 760)),
    line("Please press Save to keep your changes", (500, 100, 520, 700)),
    line("Log in", (20, 900, 45, 980)),
    line("Ok", (600, 480, 620, 520)),
    line("Settings", (20, 700, 45, 790), 0.35),
    line("Newsletter", (300, 100, 320, 300)),
)

lines_of_text = st.lists(
    st.builds(
        ReadText,
        st.text(max_size=80),
        st.tuples(*[st.integers(0, 500)] * 2, *[st.integers(500, 1000)] * 2),
        st.floats(0, 1),
    ),
    max_size=30,
)


def test_a_label_of_its_own_is_preferred_to_the_same_word_in_a_sentence() -> None:
    (match,) = find(MAIL, ("save button", "save"))
    assert (match.label, match.box) == ("Save", (940, 900, 970, 960))
    assert match.confidence == pytest.approx(0.98)


def test_the_longer_name_is_preferred_where_it_stands() -> None:
    assert [match.label for match in find((*MAIL, line("Save button")), ("save button", "save"))] == ["Save button"]


def test_a_whole_word_is_preferred_to_a_part_of_one() -> None:
    (match,) = find((line("Newsletter", (1, 1, 2, 2)), line("A new day", (5, 5, 9, 900))), ("new",))
    assert match.label == "new"
    assert match.box == (5, 203, 9, 503)


def test_where_no_label_is_just_the_name_the_shortest_one_is_the_likeliest() -> None:
    crowd = (line("Please save your work now", confidence=0.99), line("Save all", (5, 5, 9, 80), 0.9))
    assert find(crowd, ("save",))[0].box == (5, 5, 9, 43)


def test_a_word_in_a_row_of_words_has_its_share_of_the_box() -> None:
    (match,) = find(MAIL, ("view",))
    assert match.label == "View"
    assert match.box == (80, 210, 100, 295)


@pytest.mark.parametrize(
    ("name", "label"), [("login", "Log in"), ("okay", "Ok"), ("INBOX", "Inbox"), ("letter", "letter")]
)
def test_spelling_that_differs_little_is_found(name: str, label: str) -> None:
    assert find(MAIL, (name,))[0].label == label


def test_what_is_only_similar_is_found_and_said_to_be_so() -> None:
    (match,) = find(MAIL, ("cancle",))
    assert (match.label, match.is_literal) == ("Cancel", False)
    assert match.confidence < 0.98


def test_what_is_not_there_is_not_found() -> None:
    assert find(MAIL, ("submit",)) == ()
    assert find((), ("save",)) == ()
    assert find(MAIL, ()) == ()
    assert find(MAIL, ("?",)) == ()


def test_all_places_that_say_the_same_are_found_the_surest_first() -> None:
    twice = (line("Delete", (10, 10, 20, 20), 0.8), line("Delete", (500, 10, 520, 60), 0.9), line("Delete all"))
    assert [match.box for match in find(twice, ("delete",))] == [(500, 10, 520, 60), (10, 10, 20, 20)]


def test_a_doubtful_reading_is_a_doubtful_match() -> None:
    assert find(MAIL, ("settings",))[0].confidence < SURE


def test_labels_that_are_nearly_the_name_are_offered() -> None:
    assert near(MAIL, ("news",)) == ()
    assert near(MAIL, ("canal",)) == ("Cancel",)
    assert near(MAIL, ("setting",)) == ()  # read too badly to be offered
    assert near(MAIL, ()) == ()


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 50, 100), "at the top left"),
        ((0, 400, 50, 600), "at the top in the middle"),
        ((0, 900, 50, 1000), "at the top right"),
        ((480, 0, 520, 100), "in the middle on the left"),
        ((480, 480, 520, 520), "in the middle of the screen"),
        ((480, 900, 520, 1000), "in the middle on the right"),
        ((950, 0, 1000, 100), "at the bottom left"),
        ((950, 400, 1000, 600), "at the bottom in the middle"),
        ((1000, 1000, 1000, 1000), "at the bottom right"),
    ],
)
def test_a_place_is_said_in_words(box: Box, words: str) -> None:
    assert place(box) == words


def test_a_quote_is_one_short_line() -> None:
    assert quoted('a "b"\n\tc\x00d') == "a b c d"
    assert len(quoted("word " * 100)) <= LONGEST_QUOTE + 1
    assert len(quoted("x" * 500)) <= LONGEST_QUOTE + 1


@given(lines_of_text, st.text(min_size=1, max_size=80))
def test_any_screen_can_be_searched(lines: list[ReadText], name: str) -> None:
    for match in find(lines, (name,)):
        ymin, xmin, ymax, xmax = match.box
        assert 0 <= ymin <= ymax <= 1000
        assert 0 <= xmin <= xmax <= 1000
        assert 0 <= match.confidence <= 1
        assert place(match.box)
    near(lines, (name,))
