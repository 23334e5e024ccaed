"""Aligns the text of a reply with the samples of its speech."""

from bisect import bisect_right
from itertools import accumulate


class SpokenText:
    """Text that arrives in pieces beside its audio.

    If the engine sends each piece just before its audio (`timed`), a piece counts as played once its first sample was.
    Otherwise pieces arrive at any time, and the words played are in proportion to the samples played.
    """

    def __init__(self, turn: int, *, timed: bool):
        self.turn = turn
        self.text = ""
        self.samples = 0
        self._timed = timed
        self._marks: list[tuple[int, int]] = []  # (sample at which a piece begins, length of the text up to its end)

    def add_text(self, piece: str) -> None:
        """Append a piece of text."""
        self.text += piece
        self._marks.append((self.samples, len(self.text)))

    def add_samples(self, count: int) -> None:
        """Count samples that have arrived for this reply."""
        self.samples += count

    def text_until(self, samples: int) -> str:
        """Return the text spoken in the first `samples` of the reply."""
        if samples >= self.samples > 0:
            return self.text.strip()
        return (self._text_by_marks(samples) if self._timed else self._text_by_share(samples)).strip()

    def _text_by_marks(self, samples: int) -> str:
        begun = bisect_right(self._marks, samples - 1, key=lambda mark: mark[0])
        return self.text[: self._marks[begun - 1][1]] if begun else ""

    def _text_by_share(self, samples: int) -> str:
        if not self.samples:
            return ""
        # A word counts once more than half of it was played, with letters as the measure of time.
        reached = len(self.text) * samples / self.samples
        words = self.text.split(" ")
        ends = accumulate(len(word) + 1 for word in words)
        return " ".join(word for word, end in zip(words, ends, strict=True) if end - (len(word) + 1) / 2 <= reached)
