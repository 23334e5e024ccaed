"""What is written and how it is said."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mediaserver.localengine.responder.voice.reading import read
from mediaserver.localengine.responder.voice.sentences import LONGEST_PART, parts
from mediaserver.localengine.responder.voice.words import Word, align, spoken_text, without_controls


def said(text: str) -> str:
    return spoken_text(read(text))


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Press Ctrl+S.", "Press control S."),
        ("Ctrl-Shift+P or Alt+F4!", "control shift P or alt F four!"),
        ("⌘C, Ctrl++, Esc", "command C, control plus, escape"),
        ("Ctrl+A", "control A."),
        ("Press F5 or PgDn", "Press F five or page down"),
    ],
)
def test_keys_are_named(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1,234.50", "one thousand two hundred thirty four point five zero"),
        ("In 2024, 1905 and 2006", "In twenty twenty four, nineteen oh five and two thousand six"),
        ("the 23rd of 1990s", "the twenty third of nineteen nineties"),
        ("-5 and #12 and ~300", "minus five and number twelve and about three hundred"),
        ("12345678", "one two three four five six seven eight"),
        ("007", "oh oh seven"),
        ("1/2 of it, page 3/5, 2-3 times", "one half of it, page three of five, two to three times"),
        ("1000000000000000000", "one " + "oh " * 17 + "oh"),
        ("call 555-1234", "call five five five, one two three four"),
        ("version 3.11.9 and v2", "version three point eleven point nine and version two"),
    ],
)
def test_numbers_are_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("2024-03-05", "March fifth, twenty twenty four"),
        ("2024-03-05T14:30:00Z", "March fifth, twenty twenty four, fourteen thirty and zero seconds"),
        ("3/5/2024", "March fifth, twenty twenty four"),
        ("31/12/2024", "December thirty first, twenty twenty four"),
        ("5 March and Jan. 2nd, 2006.", "March fifth and January second, two thousand six."),
        ("12:45", "twelve forty five"),
        ("9:05 AM, 9:00, 14:00", "nine oh five A.M., nine o'clock, fourteen hundred"),
        ("at 9 p.m.", "at nine P.M."),
    ],
)
def test_dates_and_times_are_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("16 GB, 1 MB/s", "sixteen gigabytes, one megabyte per second"),
        ("3.5% at -5 °C", "three point five percent at minus five degrees Celsius"),
        ("1920x1080 px", "nineteen twenty by ten eighty px"),
        (
            "$1,234.50, $1, £0.50",
            "one thousand two hundred thirty four dollars and fifty cents, one dollar, fifty pence",
        ),
        ("$3.2 billion", "three point two billion dollars"),
        ("It takes 5 min.", "It takes five minutes."),
    ],
)
def test_units_and_money_are_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Open report_final.pdf.", "Open report final dot P.D.F. ."),
        ("archive.tar.gz and .env", "archive dot tar dot G.Z. and dot env"),
        ("/usr/local/bin", "slash user slash local slash bin"),
        ("~/docs/notes.md, src/main.py", "home slash docs slash notes dot M.D., source slash main dot P.Y."),
        (r"C:\Users\me", "C drive, Users, me"),
        ("/a1/b2/c3/d4/e5", "slash A. one slash B two slash C three slash D four, and so on"),
        ("https://www.example.com/docs?x=1&y=2.", "example dot com slash docs."),
        (
            "localhost:8000 or 127.0.0.1",
            "local host port eight thousand or one hundred twenty seven dot zero dot zero dot one",
        ),
        ("user.name@example.org", "user dot name at example dot org"),
    ],
)
def test_files_paths_and_addresses_are_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("getUserName() and max_value", "get User Name and max value"),
        ("x == y && a != b", "x equals y and a is not equal to b"),
        ("--dry-run -x", "dash dash dry run dash X"),
        ("self.name", "self dot name"),
        ("commit 5f70741d4e900f4e", "commit the code that begins with five F seven zero"),
        ("#ff8800", "hash F F eight eight zero zero"),
        ("<div> and C++", "div tag and C plus plus"),
        ("3 + 4 = 7", "three plus four equals seven"),
    ],
)
def test_code_is_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("e.g. this, i.e. that, etc.", "for example this, that is that, et cetera"),
        ("Dr. Smith saw No. 5", "Doctor Smith saw number five"),
        ("the API's URLs on GitHub", "the A.P.I.'s U.R.L.'s on git hub"),
        ("It is in the U.S.A. now", "It is in the U.S.A. now"),
        ("and/or", "and or"),
    ],
)
def test_short_forms_are_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Bold** and `code`", "Bold and code"),
        ("- first\n- second", "first second"),
        ("[the docs](https://example.org/x) say", "the docs say"),
        ("# Heading", "Heading"),
        ("one — two", "one , two"),
    ],
)
def test_markup_is_not_read(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    "text", ["The Save button is at the top left.", "I don't know the well-known café.", "Where is it, please?"]
)
def test_plain_sentences_are_said_as_they_are_written(text: str) -> None:
    assert said(text) == text


WRITTEN = st.text(st.sampled_from("aB1 .,:/\\-_+#$%()[]{}\"'*`<>@~\n\t5Z—é日🙂\x01\ud800"), max_size=60) | st.text(
    max_size=60
)


@given(WRITTEN)
@example("http://a.5/ a² vſ. x.cſſ 10²")
def test_the_words_together_are_the_text_and_every_word_can_be_said(text: str) -> None:
    words = read(text)
    assert "".join(word.written for word in words) == without_controls(text)
    assert not set(spoken_text(words)) & set("[]{}<>*`_|\n\t\x01\ud800")


def test_a_long_run_of_signs_is_read_in_no_time() -> None:
    for sign in ("a.", "a/", "(", ")", "a_", "1,", "*", "-1", "a@", "://"):
        text = sign * (LONGEST_PART // len(sign))
        assert "".join(word.written for word in read(text)) == text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("It is Dr. Smith, e.g. here. Yes.", ["It is Dr. Smith, e.g. here. ", "Yes."]),
        ("Open main.py at 3.5 now. “Ok.” Next", ["Open main.py at 3.5 now. ", "“Ok.” ", "Next"]),
        ("1. First\n2. Second", ["1. First\n", "2. Second"]),
        ("", []),
    ],
)
def test_sentences_are_split_where_they_end(text: str, sentences: list[str]) -> None:
    assert list(parts(text)) == sentences


@given(st.text(st.sampled_from("ab ,.!?\n"), max_size=1_000))
def test_parts_are_short_and_together_the_text(text: str) -> None:
    found = list(parts(text))
    assert "".join(found) == text
    assert all(len(part) <= LONGEST_PART for part in found)


def test_marks_outside_the_words_lose_no_text() -> None:
    words = (Word("one ", "one"), Word("two", "two"))
    assert align(words, [(0, 5), (4, 3), (90, 9)]) == ((5, "one "), (5, "two"))
    assert align(words, []) == ((0, "one two"),)


def test_a_word_said_as_several_begins_with_the_first_and_a_silent_one_goes_with_the_one_before() -> None:
    words = (Word("12:45 ", "twelve forty five"), Word("- ", ""), Word("now", "now"))
    assert align(words, [(0, 0), (7, 100), (13, 200), (18, 300)]) == ((0, "12:45 - "), (300, "now"))
