"""Pacing of answers: split at words, and sent faster than real time but not at once."""

from collections.abc import Iterator

from mediaserver.localengine.responder.interface import Speech
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE

BURST = 0.4
"""Seconds of audio sent at once when an answer begins or continues after a pause."""
SPEED = 4.0
"""Speed of the rest, as a multiple of real time."""

_GRID = SPEECH_SAMPLE_RATE * 40 // 1000  # samples; audio parts are multiples of 40 ms
_MAX_PIECE = 5  # times the grid: 200 ms


def pieces(speech: Speech) -> Iterator[tuple[str, bytes]]:
    """Split speech into (words that begin here, PCM) of 40 to 200 ms; a word is at most 20 ms off its place."""
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
            stop = min(start + _MAX_PIECE, cut)
            yield words.get(start, ""), pcm[start * grid_bytes : stop * grid_bytes]
            start = stop


class Pacer:
    """Schedules the pieces of one answer, and computes when its playback ends. Clock times in seconds."""

    def __init__(self) -> None:
        self.playback_end = 0.0
        self._free = float("-inf")

    def due(self, duration: float, *, now: float) -> float:
        """Return when the next `duration` seconds of audio may be sent: `now` or later."""
        start = max(self._free, now - BURST / SPEED)
        self._free = start + duration / SPEED
        return max(now, self._free)

    def sent(self, duration: float, *, now: float) -> None:
        """Record that `duration` seconds were sent now; the client plays them after earlier ones."""
        self.playback_end = max(self.playback_end, now) + duration
