"""espeak-ng, which speaks many languages; for a worker process, which separates this GPL library from the server."""

import ctypes
import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice.audible import as_speech
from mediaserver.localengine.responder.voice.reading import read
from mediaserver.localengine.responder.voice.words import as_written, spoken_text, without_controls
from pipeline.media import SPEECH_SAMPLE_RATE

PACKAGE = "espeakng_loader"

WORDS_PER_MINUTE = 168
VARIANT = "f3"
LONGEST = 120  # s; nobody listens to more, and a screen full of digits would last for hours

_VOICES = {"en": "en-us", "en-gb": "en-gb-x-rp"}


def is_installed() -> bool:
    """Whether the package of the extra `espeak` is there."""
    return find_spec(PACKAGE) is not None


@functools.cache
def languages() -> frozenset[str]:
    """Return the tags of all languages that are spoken, in lower case."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    lines = (
        line.split()
        for folder in folders or ()
        for file in Path(folder, "espeak-ng-data", "lang").rglob("*")
        if file.is_file()
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return frozenset(line[1].lower() for line in lines if len(line) > 1 and line[0] == "language")


def load() -> None:
    """Load espeak-ng and the English voice."""
    speak("Ready.", "en")


def speak(text: str, language: str, speed: float = 1.0) -> Speech:
    """Synthesize synchronously; `speed` is a multiple of 168 words a minute. Raises ValueError for other languages."""
    is_english = language.lower().startswith("en")
    words = read(text) if is_english else as_written(without_controls(text))
    pcm, marks = _espeak().synthesize(spoken_text(words), voice_for(language), speed)
    scale = SPEECH_SAMPLE_RATE / _espeak().rate
    return as_speech(words, _resample(pcm, _espeak().rate), [(place, int(sample * scale)) for place, sample in marks])


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
        # Imported here: the server's own process has no part of the library, which may be missing, too.
        import espeakng_loader

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

    def synthesize(self, text: str, voice: str, speed: float = 1.0) -> tuple[NDArray[np.int16], list[tuple[int, int]]]:
        """Return samples at `rate`, and (character, sample) wherever espeak began a word."""
        self._pcm.clear()
        self._marks.clear()
        self._choose(voice, speed)
        data = text.encode()
        failed = self._library.espeak_Synth(
            data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None
        )
        if failed or len(self._pcm) >= self._max_bytes:
            raise RuntimeError("espeak-ng failed" if failed else "too long to say")
        return np.frombuffer(bytes(self._pcm), np.int16), list(self._marks)

    def _choose(self, voice: str, speed: float) -> None:
        name, _, variant = voice.partition("+")
        for candidate in (voice, f"{name.partition('-')[0]}+{variant}"):
            if self._library.espeak_SetVoiceByName(candidate.encode()) == 0:
                self._library.espeak_SetParameter(_PARAMETER_RATE, int(WORDS_PER_MINUTE * speed), 0)
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


def _resample(pcm: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SPEECH_SAMPLE_RATE)
    parts = [part.to_ndarray()[0] for part in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)
