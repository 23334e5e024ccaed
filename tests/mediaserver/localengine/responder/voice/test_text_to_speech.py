"""Which voice speaks, and which one instead of it."""

from collections.abc import AsyncGenerator

import numpy as np
import pytest

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice import espeak, neural, text_to_speech
from mediaserver.localengine.responder.voice.text_to_speech import LONGEST_TEXT, RETRY_AFTER, TextToSpeech
from mediaserver.localengine.responder.voice.voices import SilentVoice, VoiceUnavailableError
from pipeline.errors import FaultCode, MediaError


class FakeVoice:
    """A voice that says one byte pair for each character, unless it is broken."""

    def __init__(self, name: str, *languages: str):
        self.name = name
        self.said: list[tuple[str, float]] = []
        self.error: MediaError | None = None
        self.is_closed = False
        self._languages = languages

    def speaks(self, language: str) -> bool:
        return language in self._languages

    async def start(self) -> None:
        if self.error is not None:
            raise self.error

    async def speak(self, text: str, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:
        if self.error is not None:
            raise self.error
        self.said.append((text, speed))
        try:
            yield Speech(b"\1\1" * len(text), ((0, text),))
        finally:
            self.is_closed = True

    async def close(self) -> None:
        """Nothing is held."""


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1_000.0
        monkeypatch.setattr(text_to_speech, "_now", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_a_text_is_said_sentence_by_sentence_as_it_is_taken() -> None:
    voice = FakeVoice("one", "en")
    stream = TextToSpeech(voices=[voice]).stream("First. Second.", language="en", speed=0.7)
    assert (await anext(stream)).words == ((0, "First. "),)
    assert voice.said == [("First. ", 0.7)]
    assert [piece.words async for piece in stream] == [((0, "Second."),)]


async def test_an_answer_that_is_cut_ends_the_synthesis() -> None:
    voice = FakeVoice("one", "en")
    stream = TextToSpeech(voices=[voice]).stream("First. Second.")
    await anext(stream)
    voice.is_closed = False
    await stream.aclose()
    assert voice.is_closed
    assert len(voice.said) == 1


async def test_the_pieces_of_a_short_text_are_one_speech() -> None:
    speech = await TextToSpeech(voices=[FakeVoice("one", "en")]).synthesize("First. Second.")
    assert speech.words == ((0, "First. "), (7, "Second."))
    assert len(speech.pcm) == 28
    with pytest.raises(MediaError):
        await TextToSpeech(voices=[FakeVoice("one", "en")]).synthesize("a" * (LONGEST_TEXT + 1))


async def test_the_language_decides() -> None:
    english, german = FakeVoice("english", "en"), FakeVoice("german", "de", "en")
    voices = TextToSpeech(voices=[english, german, SilentVoice()])
    for language in ("en", "de"):
        await voices.synthesize("Hallo.", language=language)
    assert [len(english.said), len(german.said)] == [1, 1]
    silence = await voices.synthesize("Nuq neH", language="tlh")
    assert not np.frombuffer(silence.pcm, np.int16).any()
    assert "".join(word for _, word in silence.words) == "Nuq neH"


async def test_a_voice_that_fails_is_told_once_and_then_rests(clock: Clock) -> None:
    server, local = FakeVoice("server", "en"), FakeVoice("local", "en")
    voices = TextToSpeech(voices=[server, local])
    server.error = VoiceUnavailableError("it is off", where="test")
    with pytest.raises(VoiceUnavailableError):
        await voices.synthesize("One.")
    assert not local.said
    await voices.synthesize("One.")
    assert local.said == [("One.", 1.0)]
    server.error = None
    clock.now += RETRY_AFTER - 1
    await voices.synthesize("Two.")
    assert not server.said
    clock.now += 1
    await voices.synthesize("Three.")
    assert server.said == [("Three.", 1.0)]


async def test_a_text_that_cannot_be_said_says_nothing_about_the_voice() -> None:
    voice, other = FakeVoice("one", "en"), FakeVoice("two", "en")
    voices = TextToSpeech(voices=[voice, other])
    voice.error = MediaError(FaultCode.ENGINE_INTERNAL, "too long to say")
    with pytest.raises(MediaError):
        await voices.synthesize("One.")
    voice.error = None
    await voices.synthesize("Two.")
    assert voice.said


async def test_a_voice_that_cannot_be_loaded_is_replaced() -> None:
    damaged, other = FakeVoice("damaged", "en"), FakeVoice("other", "en")
    damaged.error = MediaError(FaultCode.ENGINE_INTERNAL, "could not be initialized")
    voices = TextToSpeech(voices=[damaged, other, SilentVoice()])
    await voices.start()
    damaged.error = None
    await voices.synthesize("Hello.")
    assert other.said


@pytest.mark.parametrize(
    ("has_neural", "has_espeak", "expected"),
    [(False, True, "espeak-ng"), (False, False, "none"), (True, False, "hibari")],
)
async def test_without_a_package_the_next_voice_speaks(
    monkeypatch: pytest.MonkeyPatch, has_neural: bool, has_espeak: bool, expected: str
) -> None:
    if not has_neural:
        monkeypatch.setattr(neural, "PACKAGE", "no_such_package")
    if not has_espeak:
        monkeypatch.setattr(espeak, "PACKAGE", "no_such_package")
    voices = TextToSpeech()
    assert voices._voice_for("en").name.startswith(expected)
    await voices.close()
