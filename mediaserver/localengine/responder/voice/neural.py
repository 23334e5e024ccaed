"""The neural voice: English by the package hibari-tts or a model like it, on one thread; for a worker process."""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice.audible import as_speech
from mediaserver.localengine.responder.voice.onnx_outputs import with_output
from mediaserver.localengine.responder.voice.reading import read
from mediaserver.localengine.responder.voice.words import spoken_text

PACKAGE = "hibari"
MODEL_SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
"""Of assets/hibari.onnx in hibari-tts 0.2.1."""

LONGEST_RUN = 300
"""Phonemes of one run of the model, some 20 s of speech; its memory grows with them."""

_DURATIONS = "/Cast_32_output_0"  # frames of each phoneme: what the graph expands them by
_FRAME = 600  # samples at 24 kHz
_ENDS = frozenset(".,;:!?…")
_MIN_SPEED, _MAX_SPEED = 0.5, 2.0  # hibari/tts.py


class VoiceError(Exception):
    """The voice cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class VoiceModel:
    """A model file, the SHA-256 it must have (None for any), and whether it speaks British English."""

    path: Path
    sha256: str | None
    is_british: bool = False


def find_model(folder: Path | None) -> VoiceModel:
    """Return the model in `folder`, or that of the installed package for None. Raises `VoiceError`."""
    if find_spec(PACKAGE) is None:
        raise VoiceError("the package hibari-tts is not installed: pip install 'mediaserver[local]'")
    if folder is None:
        return VoiceModel(_asset("hibari.onnx"), MODEL_SHA256)
    models = sorted(folder.glob("*.onnx"))
    if len(models) != 1:
        raise VoiceError(f"{folder} holds {len(models)} files named *.onnx instead of one")
    known = next((voice for voice in _known_voices() if voice["file"] == models[0].name), None)
    return VoiceModel(models[0], known["sha256"] if known else None, bool(known and known["british"]))


def load(model: VoiceModel) -> None:
    """Load and warm the voice; runs in the worker process. Raises `VoiceError`."""
    _voices[:] = [_Voice(model)]
    speak("Ready, Zaphod.", 1.0)  # a name that is in no dictionary loads the rules for such words


def speak(text: str, speed: float) -> Speech:
    """Synthesize English synchronously; for the worker process. `speed` is 1.0 for the voice's own, 0.5 to 2.0."""
    words = read(text)
    tokens = _voices[0].phonemes(spoken_text(words))
    pcm, marks = _voices[0].synthesize(tokens, min(max(speed, _MIN_SPEED), _MAX_SPEED))
    return as_speech(words, pcm, marks)


_voices: "list[_Voice]" = []  # the voice of this process, once it is loaded


@dataclass(frozen=True, slots=True)
class _Token:
    """A word's place in the spoken text, and its phonemes with the pause after it, as numbers."""

    character: int
    ids: tuple[int, ...]
    is_end: bool


class _Voice:
    def __init__(self, model: VoiceModel):
        import onnxruntime
        from hibari.g2p import G2P

        data = model.path.read_bytes()
        if model.sha256 is not None and hashlib.sha256(data).hexdigest() != model.sha256:
            raise VoiceError(f"{model.path} is not the file it should be: its SHA-256 is not {model.sha256}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # the arena keeps the memory of the longest sentence
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                with_output(data, _DURATIONS), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes, which it does not publish
            raise VoiceError(f"{model.path} is no voice like hibari's: {error}") from None
        self._g2p = G2P(british=model.is_british)
        self._ids: dict[str, int] = json.loads(_asset("vocab.json").read_text(encoding="utf-8"))

    def phonemes(self, text: str) -> list[_Token]:
        """Return the phonemes of a text whose words have one space between them."""
        found = []
        character = 0
        for token in self._g2p.phonemize_tokens(self._g2p.tokenize(text)):
            ids = tuple(self._ids[sign] for sign in token.phonemes or "" if sign in self._ids)
            if ids:
                pause = (self._ids[" "],) if token.whitespace else ()
                found.append(_Token(character, ids + pause, token.text[-1] in _ENDS))
            character += len(token.text) + len(token.whitespace)
        return found

    def synthesize(self, tokens: Sequence[_Token], speed: float) -> tuple[NDArray[np.int16], list[tuple[int, int]]]:
        """Return samples at 24 kHz, and (character, sample) for each token."""
        parts: list[NDArray[np.int16]] = []
        marks: list[tuple[int, int]] = []
        offset = 0
        for run in _runs(tokens):
            pcm, starts = self._run(run, speed)
            marks += [(token.character, offset + start) for token, start in zip(run, starts, strict=True)]
            parts.append(pcm)
            offset += len(pcm)
        return (np.concatenate(parts) if parts else np.zeros(0, np.int16)), marks

    def _run(self, tokens: Sequence[_Token], speed: float) -> tuple[NDArray[np.int16], list[int]]:
        from hibari.dsp import synth

        ids = [0, *(number for token in tokens for number in token.ids)]
        if not tokens[-1].is_end:
            ids.append(self._ids["."])  # a sentence without an end sounds broken off
        ids.append(0)
        inputs = {"ids": np.array([ids], np.int64), "speed": np.array([speed], np.float32)}
        *spectrum, durations = self._session.run(None, inputs)
        # Seeded, so that the same text sounds the same each time.
        wave = synth(*(part[0] for part in spectrum), np.random.default_rng(0))
        ends = np.cumsum(durations) * _FRAME
        firsts = np.cumsum([1, *(len(token.ids) for token in tokens[:-1])])
        pcm = np.clip(np.rint(wave * 32_767), -32_768, 32_767).astype(np.int16)
        return pcm, [int(ends[first - 1]) for first in firsts]


def _runs(tokens: Sequence[_Token]) -> list[Sequence[_Token]]:
    runs: list[Sequence[_Token]] = []
    begin = count = 0
    end = -1  # the last token so far after which a pause is natural
    for index, token in enumerate(tokens):
        count += len(token.ids)
        if count > LONGEST_RUN and index > begin:
            cut = end + 1 if end >= begin else index
            runs.append(tokens[begin:cut])
            begin = cut
            count = sum(len(each.ids) for each in tokens[begin : index + 1])
        if token.is_end:
            end = index
    return [*runs, tokens[begin:]] if tokens else runs


@functools.cache
def _known_voices() -> list[dict[str, Any]]:
    return list(json.loads(_asset("voices.json").read_text(encoding="utf-8")).values())


def _asset(name: str) -> Path:
    with resources.as_file(resources.files(PACKAGE) / "assets" / name) as path:
        return path
