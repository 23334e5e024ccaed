"""Words that take the floor, and words that do not."""

import pytest

from pipeline.conversation.backchannels import is_backchannel


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "Mhm.", "mm-hmm", "Mm hmm", "uh-huh", "Uh huh.", "hmm", "Hmmm...", "um, ah", "Oh!", "Okay."),
        *("ok, right", "Yeah.", "yeah, yeah", "I see.", "Got it!", "Sure, go on."),
        *("[coughs]", "(sighs) mhm", "*click*", "♪ ♪", "..."),
    ],
)
def test_it_does_not_take_the_floor(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Stop.", "stop", "Wait!", "wait wait", "No.", "no no no", "Yes.", "okay stop", "mhm, but", "right here"),
        *(
            "Um, wait",
            "where is it",
            "I",
            "see",
            "I see it",
            "hold on",
            "what",
            "[coughs] no",
            "sure not",
            "Nein",
            "も",
        ),
    ],
)
def test_it_takes_the_floor(text: str) -> None:
    assert not is_backchannel(text)
