"""Speech-to-text of a fixed list of commands, by pocketsphinx in a worker process."""

import functools
import math
from itertools import product

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from pipeline.errors import FaultCode
from pipeline.media import INPUT_SAMPLE_RATE
from pipeline.workers.process import Worker

DEADLINE = 15.0

LONGEST = 15.0  # s; no command takes as long
SHORTEST = 0.2  # s
FRAMES_PER_SECOND = 100

NAMES = (
    *("account", "add", "back", "cancel", "cart", "checkout", "close", "confirm", "continue", "copy", "delete", "done"),
    *("download", "edit", "email", "file", "forward", "help", "history", "home", "inbox", "log in", "log out", "menu"),
    *("new", "next", "okay", "open", "options", "password", "paste", "print", "profile", "refresh", "reply", "save"),
    *("search", "send", "settings", "share", "sign in", "sign up", "submit", "undo", "upload", "view"),
)
"""Names recognised in speech; pocketsphinx refuses a grammar with words outside its dictionary."""

_ASKING = ("where is", "where's", "find", "show me")
_KINDS = ("button", "link", "field", "icon")
_PHRASES = (
    *("hello", "hi", "hey"),
    *("help", "help me", "what can you do", "what can i ask", "what can i ask you"),
    *(f"{what} on {whose} screen" for what in ("what is", "what's") for whose in ("my", "the")),
    *("what do you see", "what can you see"),
    *(f"{verb} {whose} screen" for verb in ("read", "describe") for whose in ("my", "the")),
    *("repeat", "repeat that", "say that again", "please repeat"),
    *("stop", "goodbye", "bye", "bye bye"),
    *("what time is it", "what's the time", "what is the time"),
    *("thank you", "thanks"),
)
_GRAMMAR = f"""#JSGF V1.0;
grammar commands;
public <command> = {" | ".join(_PHRASES)} | <where>;
<where> = ({" | ".join(_ASKING)}) [the] ({" | ".join(NAMES)}) [{" | ".join(_KINDS)}];
"""

SENTENCES = frozenset(_PHRASES) | {
    f"{asking} {the}{name}{kind}"
    for asking, the, name, kind in product(_ASKING, ("", "the "), NAMES, ("", *(f" {kind}" for kind in _KINDS)))
}
"""Every recognised sentence."""

# A grammar alone makes a command of whatever it hears, so a second decoder spells the same audio in free phones, and a
# command must be nearly as likely as that spelling. The deficit is in nats per frame (10 ms), by acoustic score over
# the frames of the words. Measured with recorded people: at most 0.4 where a grammar holds what they say, at least 3.1
# where it does not; synthetic voices, which fit the model badly, lie between 0 and 4 with commands of this grammar.
WORST_SENTENCE = 2.5
WORST_WORD = 6.0
LONGEST_WORD = 120  # frames
MAX_UNEXPLAINED = 25  # frames that the phones call speech and the grammar does not

# Digital silence and synthetic voices are too clean for the model; noise of 2 % of the speech level cures it.
DITHER = 0.02
LEAST_DITHER = 5.0

_PADDING = 0.2  # s of silence on both sides, which the grammar expects
_SILENCES = ("<s>", "</s>", "<sil>", "(NULL)", "[NOISE]", "[SPEECH]", "SIL", "+NSN+", "+SPN+")

_Segment = tuple[str, int, int, float]  # word or phone, first frame, last frame, acoustic score in nats


class SpeechToText:
    """Recognises commands; all sessions share one worker process."""

    def __init__(self) -> None:
        self._worker = Worker("ear", code=FaultCode.ENGINE_INTERNAL, initializer=load)

    async def start(self) -> None:
        """Load the models in advance."""
        await self._worker.start()

    async def transcribe(self, pcm: bytes) -> str | None:
        """Recognise one utterance (16 kHz mono 16-bit PCM): one of `SENTENCES`, or None. Raises `MediaError`."""
        if not SHORTEST <= len(pcm) / (2 * INPUT_SAMPLE_RATE) <= LONGEST:
            return None
        return await self._worker.run(recognize, pcm, deadline=DEADLINE)

    async def close(self) -> None:
        """Stop the worker."""
        await self._worker.close()


def load() -> None:
    """Load and warm the models; runs in the worker process."""
    _decoders()
    recognize(bytes(2 * INPUT_SAMPLE_RATE))


def recognize(pcm: bytes) -> str | None:
    """Recognise one utterance synchronously; for the worker process, 0.06 s per second of audio."""
    grammar, phones = _decoders()
    noisy = _dithered(np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16))
    words, frames = _decode(grammar, noisy, scale=1)
    sentence = " ".join(word.partition("(")[0] for word, *_ in _spoken(words))
    if sentence not in SENTENCES:  # nothing, or a command that was broken off
        return None
    # pocketsphinx scales the acoustic scores of a grammar by 2^10 and those of a phone loop not.
    spelling, _ = _decode(phones, noisy, scale=1 << 10)
    return sentence if _is_likely(words, spelling, frames) else None


def _is_likely(words: list[_Segment], spelling: list[_Segment], frames: int) -> bool:
    deficit = _score_per_frame(spelling, frames) - _score_per_frame(words, frames)
    spoken = _spoken(words)
    in_words = np.zeros(frames, bool)
    for _, first, last, _ in spoken:
        in_words[first : last + 1] = True
    in_speech = np.zeros(frames, bool)
    for _, first, last, _ in _spoken(spelling):
        in_speech[first : last + 1] = True
    return bool(
        deficit[in_words].mean() <= WORST_SENTENCE
        and all(deficit[first : last + 1].mean() <= WORST_WORD for _, first, last, _ in spoken)
        and all(last - first < LONGEST_WORD for _, first, last, _ in spoken)
        and np.count_nonzero(in_speech & ~in_words) <= MAX_UNEXPLAINED
    )


def _spoken(segments: list[_Segment]) -> list[_Segment]:
    return [segment for segment in segments if segment[0] not in _SILENCES]


def _score_per_frame(segments: list[_Segment], frames: int) -> NDArray[np.float64]:
    scores = np.zeros(frames)
    for _, first, last, score in segments:
        scores[first : last + 1] = score / (last - first + 1)
    return scores


def _decode(decoder: pocketsphinx.Decoder, pcm: bytes, *, scale: int) -> tuple[list[_Segment], int]:
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return [], decoder.n_frames()
    # Scores come as probabilities; one that is too small for a float belongs to a word that is too long anyway.
    return [
        (segment.word, segment.start_frame, segment.end_frame, math.log(max(segment.ascore, 1e-300)) * scale)
        for segment in decoder.seg()
        if segment.end_frame >= segment.start_frame
    ], decoder.n_frames()


def _dithered(pcm: NDArray[np.int16]) -> bytes:
    padding = np.zeros(int(_PADDING * INPUT_SAMPLE_RATE), np.int16)
    samples = np.concatenate([padding, pcm, padding]).astype(np.float64)
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    loudness = float(np.percentile(np.sqrt((frames**2).mean(axis=1)), 90))
    # Seeded, so that the same audio is understood the same way each time.
    noise = np.random.default_rng(0).normal(0, max(LEAST_DITHER, DITHER * loudness), len(samples))
    return np.clip(np.rint(samples + noise), -32_768, 32_767).astype(np.int16).tobytes()


@functools.cache
def _decoders() -> tuple[pocketsphinx.Decoder, pocketsphinx.Decoder]:
    grammar = pocketsphinx.Decoder(
        hmm=pocketsphinx.get_model_path("en-us/en-us"),
        dict=pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"),
        lm=None,
        loglevel="FATAL",
    )
    grammar.add_jsgf_string("commands", _GRAMMAR)
    grammar.activate_search("commands")
    phones = pocketsphinx.Decoder(
        hmm=pocketsphinx.get_model_path("en-us/en-us"),
        allphone=pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin"),
        lm=None,
        loglevel="FATAL",
        # As pocketsphinx's own documentation of phone recognition has it: the phones' order counts for little.
        **{"lw": 2.0, "pip": 0.3, "beam": 1e-20, "pbeam": 1e-20},
    )
    return grammar, phones
