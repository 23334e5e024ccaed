"""Decoding by a Whisper model in CTranslate2's form: audio to text with its scores."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from pipeline.audio.log_mel import log_mel
from pipeline.media import INPUT_SAMPLE_RATE

Floats = NDArray[np.float32]

SHORT = 15
"""Seconds to which an utterance is padded. A model trained on 30 s still works with 15, in 40 % of the time."""
LONG = 30
"""Seconds of the longest audio decoded at once."""

_BEAM = 5
_TOKENS_PER_SECOND = 8  # of fast speech; a repeat loop would go on to the model's own limit of 448
_HASH_CHUNK = 1 << 20


class ModelError(Exception):
    """A model folder that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """The text of one stretch of audio, and the model's evidence for it.

    `mean_log_probability` is per token, in nats; `no_speech` is a probability; `tokens` counts those of the text.
    """

    text: str
    no_speech: float
    mean_log_probability: float
    tokens: int


class Decoder:
    """One model on one thread. It keeps nothing between two calls: the same audio gives the same text."""

    def __init__(self, folder: Path, *, sha256: str | None = None):
        """Load the model; raise `ModelError` if it is missing, damaged, no Whisper model, or has another hash."""
        file = folder / "model.bin"
        try:
            if sha256 is not None and _sha256(file) != sha256:
                raise ModelError(f"{file} is not the model that was chosen: its SHA-256 differs.")
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", intra_threads=1, inter_threads=1
            )
        except (OSError, RuntimeError, ValueError) as error:  # the last two are CTranslate2's
            raise ModelError(f"{folder} holds no Whisper model for CTranslate2: {error}") from None

    @property
    def is_multilingual(self) -> bool:
        """Whether the model knows more languages than English."""
        return bool(self._model.is_multilingual)

    def decode(self, samples: Floats, *, seconds: int, language: str) -> Decoding:
        """Decode 16 kHz audio, -1 to 1, padded with silence or cut to `seconds`.

        `language` is a two-letter code; one that the model does not know is replaced by the likeliest.
        """
        padded = np.zeros(seconds * INPUT_SAMPLE_RATE, np.float32)
        padded[: len(samples)] = samples[: len(padded)]
        features = np.ascontiguousarray(log_mel(padded, bands=self._model.n_mels)[np.newaxis])
        encoded = self._model.encode(ctranslate2.StorageView.from_array(features))
        (result,) = self._model.generate(
            encoded,
            [self._prompt(encoded, language)],
            beam_size=_BEAM,
            max_length=seconds * _TOKENS_PER_SECOND,
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = len(result.sequences[0])
        # The score is a mean over the tokens of the text; the end, which has a probability too, is one more.
        mean = result.scores[0] * tokens / (tokens + 1)
        return Decoding(text_of(result.sequences[0]), result.no_speech_prob, mean, tokens)

    def _prompt(self, encoded: ctranslate2.StorageView, language: str) -> list[str]:
        if not self.is_multilingual:
            return ["<|startoftranscript|>", "<|notimestamps|>"]
        known = dict(self._model.detect_language(encoded)[0])
        token = f"<|{language}|>"
        spoken = token if token in known else max(known, key=known.__getitem__)
        return ["<|startoftranscript|>", spoken, "<|transcribe|>", "<|notimestamps|>"]


def text_of(tokens: list[str]) -> str:
    """Join tokens of a byte-level BPE (GPT-2's, which Whisper uses); special tokens are left out."""
    known = _bytes_of_signs()
    signs = "".join(token for token in tokens if not (token.startswith("<|") and token.endswith("|>")))
    return bytes(known[sign] for sign in signs if sign in known).decode(errors="replace").strip()


@functools.cache
def _bytes_of_signs() -> dict[str, int]:
    # openai/gpt-2, encoder.py, `bytes_to_unicode`: printable Latin-1 stands for itself, other bytes for U+0100 upward.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
