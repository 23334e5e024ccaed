"""Text-to-speech by espeak-ng in a worker process, with the first sample of each word."""

import ctypes
import functools
import re
import unicodedata
from bisect import bisect_right
from typing import Any

import av
import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.interface import Speech
from pipeline.errors import FaultCode
from pipeline.media import SPEECH_SAMPLE_RATE
from pipeline.workers.process import Worker

DEADLINE = 10.0

WORDS_PER_MINUTE = 168
VARIANT = "f3"
PAUSE = 0.2  # s of silence after a piece, which is a sentence more often than not
LEAD = 0.02  # s kept before the first sound
LONGEST = 120  # s; nobody listens to more, and a screen full of digits would last for hours
AUDIBLE = 150  # of 32,768

_VOICES = {"en": "en-us", "en-gb": "en-gb-x-rp"}


class TextToSpeech:
    """Synthesizes speech; all sessions share one worker process: 4 s of speech take about 4 ms."""

    def __init__(self) -> None:
        self._worker = Worker("voice", code=FaultCode.ENGINE_INTERNAL, initializer=load)

    async def start(self) -> None:
        """Load the voice in advance."""
        await self._worker.start()

    async def synthesize(self, text: str, *, language: str = "en") -> Speech:
        """Synthesize `text`, with control characters replaced by spaces. Raises `MediaError`."""
        return await self._worker.run(speak, text, language, deadline=DEADLINE)

    async def close(self) -> None:
        """Stop the worker."""
        await self._worker.close()


def load() -> None:
    """Load espeak-ng and the English voice; for the worker process."""
    speak("Ready.", "en")


def speak(text: str, language: str) -> Speech:
    """Synthesize synchronously; for the worker process, which separates this GPL library from the server."""
    text = speakable(text)
    pcm, marks = _espeak().synthesize(text, voice_for(language))
    begin, end = _audible(pcm, _espeak().rate)
    words = tuple(
        (max(0, sample - begin) * SPEECH_SAMPLE_RATE // _espeak().rate, word) for sample, word in words_at(text, marks)
    )
    padding = np.zeros(int(PAUSE * _espeak().rate), np.int16)
    return Speech(_resample(np.concatenate([pcm[begin:end], padding]), _espeak().rate) if words else b"", words)


def speakable(text: str) -> str:
    """Replace control characters by spaces; the length stays the same."""
    # espeak-ng obeys commands that begin with control-A, and a lone surrogate cannot be encoded.
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Cs", "Cn", "Co") else sign for sign in text)


def words_at(text: str, marks: list[tuple[int, int]]) -> list[tuple[int, str]]:
    """Return the first sample of every word, from espeak's marks of (character, sample).

    A word that espeak reads as several ("12:45") begins with the first of them; one that it does not read ("-") goes
    with the word before it.
    """
    tokens = list(re.finditer(r"\S+\s*", text))
    if not tokens:
        return []
    starts = [0] + [token.start() for token in tokens[1:]]
    first: dict[int, int] = {}
    for character, sample in marks:
        first.setdefault(max(0, bisect_right(starts, character) - 1), sample)
    read = sorted({0, *first})
    words = []
    latest = 0
    for index, following in zip(read, [*read[1:], len(starts)], strict=True):
        latest = max(latest, first.get(index, 0))
        words.append((latest, text[starts[index] : starts[following] if following < len(starts) else len(text)]))
    return words


def voice_for(language: str) -> str:
    """Return the espeak-ng voice name for a language tag such as "en-US"; that voice may not exist."""
    language = language.lower().replace("_", "-")
    return f"{_VOICES.get(language, language)}+{VARIANT}"


class _Event(ctypes.Structure):
    # espeak-ng 1.52, src/include/espeak-ng/speak_lib.h, espeak_EVENT
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))

_OUTPUT_SYNCHRONOUS = 2  # retrieval without a thread of its own: the callback has run when espeak_Synth returns
_DONT_EXIT = 0x8000
_PARAMETER_RATE = 1
_POSITION_CHARACTER = 1
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_EVENT_END = 0
_EVENT_WORD = 1


class _Espeak:
    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._library.espeak_Synth.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
            *(ctypes.c_void_p, ctypes.c_void_p),
        )
        self.rate = int(self._library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, data, _DONT_EXIT))
        if self.rate <= 0:
            raise RuntimeError("espeak-ng does not find its data")
        self._pcm = bytearray()
        self._marks: list[tuple[int, int]] = []
        self._callback = _Callback(self._take)  # held: espeak keeps only the address
        self._library.espeak_SetSynthCallback(self._callback)

    def synthesize(self, text: str, voice: str) -> tuple[NDArray[np.int16], list[tuple[int, int]]]:
        """Return samples at `rate`, and (character, sample) wherever espeak began a word."""
        self._pcm.clear()
        self._marks.clear()
        self._choose(voice)
        data = text.encode()
        failed = self._library.espeak_Synth(
            data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None
        )
        if failed or len(self._pcm) >= self._max_bytes:
            raise RuntimeError("espeak-ng failed" if failed else "too long to say")
        return np.frombuffer(bytes(self._pcm), np.int16), list(self._marks)

    def _choose(self, voice: str) -> None:
        name, _, variant = voice.partition("+")
        for candidate in (voice, f"{name.partition('-')[0]}+{variant}"):
            if self._library.espeak_SetVoiceByName(candidate.encode()) == 0:
                self._library.espeak_SetParameter(_PARAMETER_RATE, WORDS_PER_MINUTE, 0)
                return
        raise ValueError("espeak-ng does not speak this language")

    @property
    def _max_bytes(self) -> int:
        return LONGEST * self.rate * 2

    def _take(self, wave: int | None, count: int, events: Any) -> int:
        if wave and count:
            self._pcm += ctypes.string_at(wave, 2 * count)
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                self._marks.append((events[index].text_position - 1, events[index].sample))
            index += 1
        return int(len(self._pcm) >= self._max_bytes)  # 1 ends the synthesis


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()


def _audible(pcm: NDArray[np.int16], rate: int) -> tuple[int, int]:
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
    if not loud.size:
        return 0, 0
    return max(0, int(loud[0]) - int(LEAD * rate)), int(loud[-1]) + 1


def _resample(pcm: NDArray[np.int16], rate: int) -> bytes:
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_SAMPLE_RATE)
    return b"".join(part.to_ndarray().tobytes() for part in [*resampler.resample(frame), *resampler.resample(None)])
