"""Transcribes whole utterances: cuts long ones, and decodes again what was doubtful."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.transcript import REJECTED, Transcript
from mediaserver.localengine.responder.whisper.decoder import LONG, SHORT, Decoder, Decoding
from mediaserver.localengine.responder.whisper.rejection import Rejection, confidence_of, rejection_of
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES

Floats = NDArray[np.float32]

SHORTEST = 0.1
"""Seconds; in less nobody says anything."""

# Whisper hears the end of a sentence by the silence after it.
_TAIL = 0.5
_CUT_SEARCH = 5.0  # s before the end of a full window, in which the quietest place is cut
_CUT_FRAME = INPUT_SAMPLE_RATE // 50


def transcript_of(decoder: Decoder, pcm: bytes, language: str) -> Transcript:
    """Transcribe 16 kHz mono 16-bit PCM; the text is empty if all of it was rejected. `language` is such as "en"."""
    samples = np.frombuffer(pcm[: len(pcm) // SAMPLE_BYTES * SAMPLE_BYTES], "<i2") * np.float32(1 / 32768)
    if len(samples) < SHORTEST * INPUT_SAMPLE_RATE:
        return REJECTED
    heard = [_decode(decoder, part, language) for part in parts_of(samples)]
    accepted = [decoding for decoding in heard if rejection_of(decoding) is None]
    if not accepted:
        return Transcript("", max(confidence_of(decoding) for decoding in heard))
    return Transcript(" ".join(decoding.text for decoding in accepted), _mean_confidence(accepted))


def parts_of(samples: Floats) -> Iterator[Floats]:
    """Cut audio of more than 30 s at quiet places, into parts that the model takes at once."""
    longest = int((LONG - _TAIL) * INPUT_SAMPLE_RATE)
    while len(samples) > longest:
        first = longest - int(_CUT_SEARCH * INPUT_SAMPLE_RATE)
        frames = samples[first:longest].reshape(-1, _CUT_FRAME)
        cut = first + int(np.argmin((frames**2).sum(axis=1))) * _CUT_FRAME
        yield samples[:cut]
        samples = samples[cut:]
    yield samples


def _decode(decoder: Decoder, samples: Floats, language: str) -> Decoding:
    if len(samples) <= (SHORT - _TAIL) * INPUT_SAMPLE_RATE:
        decoding = decoder.decode(samples, seconds=SHORT, language=language)
        # The full window brings no speech out of noise, but ends most loops and doubts.
        if rejection_of(decoding) in (None, Rejection.NO_SPEECH):
            return decoding
    return decoder.decode(samples, seconds=LONG, language=language)


def _mean_confidence(decodings: Sequence[Decoding]) -> float:
    weights = [decoding.tokens for decoding in decodings]
    return round(float(np.average([confidence_of(decoding) for decoding in decodings], weights=weights)), 3)
