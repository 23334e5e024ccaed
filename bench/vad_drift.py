"""`python -m bench.vad_drift`: whether the voice detector hears a sentence later after half an hour of room noise."""

import sys
import wave
from math import inf

import numpy as np

from bench.audio_fixture import RECORDING
from pipeline.audio.utterances import UtteranceDetector
from pipeline.audio.vad import WINDOW_SECONDS, SileroVad, VadModel
from pipeline.config import TurnSettings
from pipeline.events import SpeechStarted
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk

MINUTES = 30
EVERY = 20
"""Seconds from one sentence to the next."""

NOISE = 60.0
"""RMS of the room noise, of 32,768."""

THRESHOLD = 0.5


def onset_delays(*, minutes: float, forgets: bool, vad: VadModel) -> list[float]:
    """Return the delay (s) from the start of each recording to the end of its first window of speech.

    `forgets`: as the server does it; if not, the detector's state is kept all the time.
    """
    with wave.open(str(RECORDING)) as file:
        sentence = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    chance, delays = np.random.default_rng(1), []
    kept, server = SileroVad(vad), UtteranceDetector(vad, TurnSettings())
    length = EVERY * INPUT_SAMPLE_RATE
    for number in range(int(minutes * 60 / EVERY)):
        noise = chance.standard_normal(length) * NOISE
        begin = length - len(sentence)
        noise[begin:] += sentence
        pcm = noise.clip(-32768, 32767).astype("<i2").tobytes()
        start = number * EVERY + begin / INPUT_SAMPLE_RATE
        chunk = AudioChunk(pcm, INPUT_SAMPLE_RATE, float(number * EVERY))
        if forgets:
            signals = server.push(chunk, audible=False)
            spoken = [signal.pts for signal in signals if isinstance(signal, SpeechStarted)]
        else:
            spoken = [window.pts for window in kept.push(chunk) if window.probability >= THRESHOLD]
        delays.append(next((pts + WINDOW_SECONDS - start for pts in spoken if pts >= start), inf))
    return delays


def main() -> int:
    """Run both ways, and print the delays of the first, middle and last five minutes."""
    vad = VadModel()
    sys.stdout.write("| | first 5 minutes, ms | in the middle | last 5 minutes |\n| --- | --- | --- | --- |\n")
    for name, forgets in (("state kept", False), ("as the server does it", True)):
        delays = onset_delays(minutes=MINUTES, forgets=forgets, vad=vad)
        count = 5 * 60 // EVERY
        middle = len(delays) // 2
        parts = (delays[:count], delays[middle : middle + count], delays[-count:])
        cells = " | ".join(f"{1000 * min(part):.0f} to {1000 * max(part):.0f}" for part in parts)
        sys.stdout.write(f"| {name} | {cells} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
