"""False interruptions: whether an utterance that cut the assistant's reply was meant to."""

from enum import Enum, auto

from pipeline.audio.pause_rule import BRIEF
from pipeline.conversation.backchannels import is_backchannel

RESUME_WITHIN = 1.5
"""Seconds after the cut within which a reply may be taken up again."""


class Verdict(Enum):
    """The judgement on an interruption: REAL ends the reply, NOTHING lets it be taken up again."""

    REAL = auto()
    NOTHING = auto()


class Interruption:
    """Gathers what is known of the utterance of one turn."""

    def __init__(self, turn: int):
        self.turn = turn
        self._seconds: float | None = None
        self._words = ""
        self._is_transcribed = False
        self._has_answer = False

    @property
    def verdict(self) -> Verdict | None:
        """The judgement, or None while too little is known."""
        if self._has_answer or not is_backchannel(self._words):
            return Verdict.REAL
        if self._seconds is None:
            return None  # it goes on
        if self._seconds > BRIEF:
            return Verdict.REAL
        return Verdict.NOTHING if self._is_transcribed or self._words.strip() else None

    def end(self, seconds: float) -> None:
        """Note the end of the utterance, which has `seconds` of speech."""
        self._seconds = seconds

    def add_words(self, text: str, *, is_final: bool) -> None:
        """Add a piece of the transcript; `is_final`: no other one follows."""
        self._words += text
        self._is_transcribed = self._is_transcribed or is_final

    def ignored(self) -> None:
        """Note that the engine has ended its turn without an answer: it has heard nothing."""
        self._is_transcribed = True

    def acted_on(self) -> None:
        """Note that the engine calls a function for it."""
        self._has_answer = True
