"""How an answer leaves: cut at its words, ahead of real time but not all at once."""

from collections.abc import Iterator

from mediaserver.localengine.responder.interface import Speech
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE

BURST = 0.4
"""Seconds of audio that leave at once when an answer begins or goes on after a pause."""
SPEED = 4.0
"""How much faster than real time the rest follows."""

_GRID = SPEECH_SAMPLE_RATE * 40 // 1000  # samples; audio parts are multiples of 40 ms
_LONGEST = 5  # times the grid: 200 ms


def pieces(speech: Speech) -> Iterator[tuple[str, bytes]]:
    """Cut speech into (words that begin here, PCM): each 40 to 200 ms, a word at most 20 ms off its place."""
    grid_bytes = _GRID * SAMPLE_BYTES
    pcm = speech.pcm + bytes(-len(speech.pcm) % grid_bytes)
    end = len(pcm) // grid_bytes
    words: dict[int, str] = {}
    for sample, text in speech.words:
        place = max(0, min(round(sample / _GRID), end - 1))
        words[place] = words.get(place, "") + text
    if not pcm:
        yield from ((text, b"") for text in words.values())
    start = 0
    for cut in (*sorted(place for place in words if place > 0), end):
        while start < cut:
            stop = min(start + _LONGEST, cut)
            yield words.get(start, ""), pcm[start * grid_bytes : stop * grid_bytes]
            start = stop


class Pacer:
    """When each piece of one answer is due, and when the last of it will have been played. Clock times in seconds."""

    def __init__(self) -> None:
        self.playback_end = 0.0
        self._free = float("-inf")

    def due(self, duration: float, *, now: float) -> float:
        """Say when the next `duration` seconds of audio may leave: `now` or later."""
        start = max(self._free, now - BURST / SPEED)
        self._free = start + duration / SPEED
        return max(now, self._free)

    def sent(self, duration: float, *, now: float) -> None:
        """Note that `duration` seconds left just now; the client plays them in real time after what it has."""
        self.playback_end = max(self.playback_end, now) + duration
