"""Places words in audio that comes without word positions, before its length is known."""

from collections.abc import Sequence

from mediaserver.localengine.responder.voice.words import Word
from pipeline.media import SPEECH_SAMPLE_RATE

FIRST_GUESS = 0.065
"""Seconds that a character of spoken text takes, until the voice has been heard."""
_LEARNED = 0.3  # weight of the newest text


class WordEstimate:
    """Learns how fast a voice speaks."""

    def __init__(self) -> None:
        self._seconds = FIRST_GUESS

    def places(self, words: Sequence[Word], speed: float) -> "WordPlaces":
        """Return the expected places of words spoken at this speed."""
        return WordPlaces(words, self._seconds / speed * SPEECH_SAMPLE_RATE)

    def learn(self, said: str, samples: int, speed: float) -> None:
        """Adjust to the samples that a text took."""
        seconds = samples / SPEECH_SAMPLE_RATE * speed / max(1, len(said))
        self._seconds += _LEARNED * (seconds - self._seconds)


class WordPlaces:
    """The words of one text, handed out beside its audio."""

    def __init__(self, words: Sequence[Word], samples_per_character: float):
        self.samples = 0
        """Samples handed out so far."""
        self._left: list[tuple[int, str]] = []
        characters = 0
        for word in words:
            self._left.append((int(characters * samples_per_character), word.written))
            characters += len(word.spoken) + 1 if word.spoken else 0

    def take(self, samples: int, *, is_last: bool) -> tuple[tuple[int, str], ...]:
        """Return the words that begin in the next samples, with the sample of each; the last call returns the rest."""
        begin, self.samples = self.samples, self.samples + samples
        count = sum(place < self.samples for place, _ in self._left)
        taken = [(place - begin, text) for place, text in self._left[:count]]
        late = self._left[count:] if is_last else []
        self._left = self._left[count:]
        # Words expected after the end of the audio share what is left after the others.
        free = taken[-1][0] if taken else 0
        taken += [
            (free + (samples - free) * (index + 1) // (len(late) + 1), text) for index, (_, text) in enumerate(late)
        ]
        return tuple(taken)
