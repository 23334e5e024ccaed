"""`python -m bench.speech_to_text`: word errors, time and memory of the local engine's speech recognition, as tables.

It hears recorded people: WAV files (16 kHz, mono, 16 bit), each with what is said in a `.txt` beside it. Noise alone
must be heard as nothing.
"""

import argparse
import asyncio
import os
import resource
import statistics
import sys
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.process import usage
from bench.speech_noise import RATE, Samples, babble, coughs, keys, music, white, with_noise
from bench.word_errors import word_errors, words_of
from mediaserver.localengine.responder.speech_to_text import WhisperSpeechToText

SPEECH = Path(__file__).parents[1] / "tests" / "data"
CLEAN = float("inf")
RATIOS = (CLEAN, 20.0, 10.0, 5.0)
NOISE_SECONDS = 60.0
_PIECE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a person: 16 kHz samples, and the words that are said."""

    samples: Samples
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result for all recordings at one ratio of voice to noise (dB)."""

    decibel: float
    errors: int
    words: int
    seconds: tuple[float, ...]
    cpu: float
    """Seconds of all processes, a mean over the recordings."""


def recordings(folder: Path) -> list[Recording]:
    """Read every WAV file that has a text beside it; raises SystemExit if there is none."""
    found = [
        Recording(_samples(path), path.with_suffix(".txt").read_text())
        for path in sorted(folder.glob("*.wav"))
        if path.with_suffix(".txt").is_file()
    ]
    if not found:
        raise SystemExit(f"{folder} has no WAV file with a text beside it.")
    return found


async def transcribe_all(speech_to_text: WhisperSpeechToText, spoken: list[Recording], decibel: float) -> Result:
    """Transcribe all recordings, one after the other."""
    errors, times = 0, []
    cpu = usage(os.getpid()).cpu
    for recording in spoken:
        samples = recording.samples if decibel == CLEAN else with_noise(recording.samples, decibel)
        began = time.perf_counter()
        heard = (await speech_to_text.transcribe(_pcm(samples), "en")).text
        times.append(time.perf_counter() - began)
        errors += word_errors(recording.text, heard)
    words = sum(len(words_of(recording.text)) for recording in spoken)
    return Result(decibel, errors, words, tuple(times), (usage(os.getpid()).cpu - cpu) / len(spoken))


async def count_false_words(speech_to_text: WhisperSpeechToText, noise: Samples) -> int:
    """Count the pieces of 3 s in which words were heard."""
    pieces = np.split(noise, range(round(_PIECE_SECONDS * RATE), len(noise), round(_PIECE_SECONDS * RATE)))
    return sum([bool((await speech_to_text.transcribe(_pcm(piece), "en")).text) for piece in pieces])


def noises(spoken: list[Recording]) -> Mapping[str, Samples]:
    """Return a minute of each noise."""
    return {
        "silence": np.zeros(round(NOISE_SECONDS * RATE)),
        "white noise": white(NOISE_SECONDS),
        "music": music(NOISE_SECONDS),
        "keys": keys(NOISE_SECONDS),
        "coughs": coughs(NOISE_SECONDS),
        "babble of 8": babble([recording.samples for recording in spoken], NOISE_SECONDS),
    }


async def measure(folder: Path, model: Path | None) -> None:
    """Measure, and print the tables."""
    spoken = recordings(folder)
    speech_to_text = WhisperSpeechToText(model)
    began = time.perf_counter()
    await speech_to_text.start()
    loaded = time.perf_counter() - began
    try:
        print(f"{len(spoken)} recordings; the model loads in {loaded:.1f} s.\n")
        print("| voice to noise | word errors | rate | time per utterance, p50 / most | of that, CPU |")
        print("| --- | --- | --- | --- | --- |")
        for decibel in RATIOS:
            found = await transcribe_all(speech_to_text, spoken, decibel)
            name = "clean" if decibel == CLEAN else f"{decibel:g} dB"
            rate = 100 * found.errors / found.words
            took = f"{1000 * statistics.median(found.seconds):.0f} / {1000 * max(found.seconds):.0f} ms"
            print(f"| {name} | {found.errors} of {found.words} | {rate:.1f} % | {took} | {1000 * found.cpu:.0f} ms |")
        print("\n| a minute of | pieces of 3 s with words |\n| --- | --- |")
        for name, noise in noises(spoken).items():
            print(
                f"| {name} | {await count_false_words(speech_to_text, noise)} of {NOISE_SECONDS / _PIECE_SECONDS:g} |",
                flush=True,
            )
    finally:
        await speech_to_text.close()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\nThe worker process: {peak:.0f} MB at most.")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        "python -m bench.speech_to_text", description="Measure the local engine's speech recognition."
    )
    parser.add_argument("--speech", type=Path, default=SPEECH, help="a folder of WAV files with texts beside them")
    parser.add_argument("--model", type=Path, help="a Whisper model in CTranslate2's form, as LOCAL_STT_DIR")
    options = parser.parse_args()
    asyncio.run(measure(options.speech, options.model))
    return 0


def _samples(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{path} is not 16 kHz, mono, 16 bit.")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def _pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32_768, 32_767).astype("<i2").tobytes()


if __name__ == "__main__":
    sys.exit(main())
