"""Material of the turn benchmark: turns of synthetic and recorded voices, with pauses inside and an end."""

import math
import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.voice.neural import find_model, load, speak
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, SPEECH_SAMPLE_RATE

Samples = NDArray[np.int16]

LEAD, TAIL = 0.5, 3.0
"""Seconds of room tone before and after a turn."""

ROOM_TONE = 12.0
"""RMS of the room tone, of 32,768: about -69 dB."""

LENGTHS_OF_A_PAUSE = 4
DIP_EVERY = 0.7
BLOCK = INPUT_SAMPLE_RATE // 100
"""Samples of 10 ms."""

SPEEDS = (0.85, 0.95, 1.05, 1.2)
"""Speeds of the synthetic voice, the local engine's."""

# Where somebody stops to think: after a word that needs another, and between two phrases.
SENTENCES = (
    "Can you show me where the | save button is?",
    "I would like to | change the colour of this line.",
    "What does the error message in the | second window mean?",
    "Open the settings and | turn off the notifications.",
    "I was looking for the file that | we edited yesterday.",
    "How do I add a new | column to this table?",
    "Please send the report to | everyone in the team.",
    "When I press this key, | nothing happens at all.",
    "Is there a way to | undo the last three changes?",
    "The third item in the list is | not the one I meant.",
    "Could you read me the | first paragraph again?",
    "I think that the problem is | somewhere in the network.",
    "Where can I find my | account number?",
    "Let us go back to the | page with the prices.",
    "If I close this window, | will my changes be lost?",
    "Show me how to | share my screen with a friend.",
    "The meeting is on Thursday, | not on Friday.",
    "I need a photo that is | smaller than two megabytes.",
    "Why is the button for | printing grey?",
    "Move the picture to the | left side of the page.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One turn of 16 kHz samples: where its inner pauses lie (s, from speech to speech), and where its speech ends."""

    name: str
    kind: str
    samples: Samples
    pauses: tuple[tuple[float, float], ...]
    end: float


def pause_lengths() -> Iterator[float]:
    """Yield lengths (s) of pauses without end: of an exponential distribution, in a fixed mixed order.

    Its two parameters are such that silences of 300 and 600 ms cut off 55.6 % and 21.7 % of the pauses, as eot-bench
    reports for English.
    """
    rate = math.log(0.556 / 0.217) / 0.3
    least = 0.3 + math.log(0.556) / rate
    count = 20
    yield from cycle(least - math.log(1 - (step * 7 % count + 0.5) / count) / rate for step in range(count))


def synthetic_turns() -> Iterator[Turn]:
    """Yield each sentence at each speed, with a pause at its mark."""
    load(find_model(None))
    lengths = pause_lengths()
    for speed in SPEEDS:
        for sentence in SENTENCES:
            speech = speak(sentence.replace("| ", ""), speed)
            mark = len(sentence[: sentence.index("|")].split())
            words = [sample for sample, text in speech.words for _ in re.findall(r"\S+", text)]
            samples = _resampled(np.frombuffer(speech.pcm, "<i2"))
            cut = words[mark] * INPUT_SAMPLE_RATE // SPEECH_SAMPLE_RATE
            yield _turn(f"{sentence} ({speed})", "synthetic", samples, [(cut, next(lengths))])


def recorded_turns(folder: Path) -> Iterator[Turn]:
    """Yield each 16 kHz WAV of a folder as it is, and with its dips drawn out to pauses of several lengths."""
    lengths = pause_lengths()
    for path in sorted(folder.glob("*.wav")):
        with wave.open(str(path)) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (INPUT_SAMPLE_RATE, 1, SAMPLE_BYTES):
                raise ValueError(f"{path} is not a 16 kHz mono 16-bit WAV")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        yield _turn(path.stem, "recorded", samples, [])
        for cut in _dips(samples):
            for length in islice(lengths, LENGTHS_OF_A_PAUSE):
                yield _turn(f"{path.stem}, {length:.2f} s at {cut}", "recorded", samples, [(cut, length)])


def _turn(name: str, kind: str, samples: Samples, cuts: list[tuple[int, float]]) -> Turn:
    chance = np.random.default_rng(len(samples))
    parts, pauses, taken, clock = [_room(chance, LEAD)], [], 0, LEAD
    for cut, length in cuts:
        clock += (cut - taken) / INPUT_SAMPLE_RATE
        parts += [samples[taken:cut], _room(chance, length)]
        pauses.append((clock, clock + length))
        clock += length
        taken = cut
    rest = samples[taken:]
    end = clock + _speech_end(rest)
    parts += [rest, _room(chance, TAIL)]
    audio = np.concatenate(parts)
    return Turn(name, kind, audio, tuple(pauses), end)


def _room(chance: np.random.Generator, seconds: float) -> Samples:
    noise: Samples = (chance.standard_normal(int(seconds * INPUT_SAMPLE_RATE)) * ROOM_TONE).astype(np.int16)
    return noise


def _speech_end(samples: Samples) -> float:
    """Return the time (s) after the last 10 ms that are within 25 dB of the loudest ones."""
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    levels = np.sqrt((blocks**2).mean(axis=1))
    return float(np.flatnonzero(levels > levels.max() * 10 ** (-25 / 20))[-1] + 1) / 100


def _dips(samples: Samples) -> list[int]:
    """Return the quietest sample of every stretch of 0.7 s, without the first and the last: most lie between words."""
    levels = np.convolve(samples.astype(np.float64) ** 2, np.ones(BLOCK * 3), "same")
    stretch = int(DIP_EVERY * INPUT_SAMPLE_RATE)
    starts = range(stretch, len(samples) - 2 * stretch, stretch)
    return [start + int(levels[start : start + stretch].argmin()) for start in starts]


def _resampled(samples: NDArray[np.int16]) -> Samples:
    resampler = av.AudioResampler("s16", "mono", INPUT_SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = SPEECH_SAMPLE_RATE
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([piece.to_ndarray()[0] for piece in frames]).astype(np.int16)
